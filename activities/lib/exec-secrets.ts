/** Secrets of child processes: handed over in the environment, masked in whatever comes back. */

const SECRET_NAME = /pass|secret|token|key|credential/i;
/** Values shorter than this would mask parts of ordinary words. */
const SHORTEST_SECRET = 4;
/** What our own programs need besides their config: settings of the network, and the fault points of tests. */
const PASSED_ON =
  /^(https?_proxy|no_proxy|all_proxy|node_extra_ca_certs|ssl_cert_file|op_[a-z_]+|pgr_op|pgr_fault|pgr_fault_flag)$/i;

/** What would change where libpq or Node.js go, in the environment of a program that gets all of ours. */
const NEVER_PASSED_ON = /^(PG(?!R_)|NODE_OPTIONS$)/;

/**
 * Environment for one of our own programs that reads the config itself: every variable that `config` refers to as `env:NAME`, from
 * `source`. Where it names a command (`exec:`), all of ours, because only that command knows where its own token is. Values only travel from
 * process to process.
 */
export function programEnvironment(
  config: unknown,
  source: Readonly<Record<string, string | undefined>> = process.env,
): Record<string, string> {
  const names = new Set(referredNames(config));
  const all = namesCommand(config);
  for (const name of Object.keys(source)) {
    if (PASSED_ON.test(name) || (all && !NEVER_PASSED_ON.test(name))) names.add(name);
  }
  const entries = [...names].flatMap((name) => (source[name] === undefined ? [] : [[name, source[name]] as const]));
  return Object.fromEntries(entries);
}

function referredNames(value: unknown): string[] {
  if (typeof value === 'string') return value.startsWith('env:') ? [value.slice('env:'.length)] : [];
  if (typeof value !== 'object' || value === null) return [];
  return Object.values(value).flatMap(referredNames);
}

function namesCommand(value: unknown): boolean {
  if (typeof value === 'string') return value.startsWith('exec:');
  return typeof value === 'object' && value !== null && Object.values(value).some(namesCommand);
}

/** `text` without the values of `env` whose names look like secrets, and without passwords in URLs. */
export function maskSecrets(text: string, env: Readonly<Record<string, string>> = {}): string {
  const values = Object.entries(env)
    .filter(([name, value]) => SECRET_NAME.test(name) && value.length >= SHORTEST_SECRET)
    .map(([, value]) => value)
    .sort((a, b) => b.length - a.length);
  const masked = values.reduce((result, value) => result.split(value).join('***'), text);
  return masked.replace(/(\b[a-z][a-z0-9+.-]*:\/\/[^\s/:@]+):[^\s/@]+@/gi, '$1:***@');
}
