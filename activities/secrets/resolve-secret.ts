/**
 * Values of secret references (invariant 10). A value is handed to the caller and nowhere else: it is in no message, no log and no
 * argument list. References are names, so messages may show them.
 */
import { open } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';

import { errorCodeOf } from '../../shared/error-code.js';
import { stepFailure } from '../lib/failure.js';
import { classifyOpFailure, OP_HINTS } from './classify-op-failure.js';
import { opReadArgs } from './commands.js';

export type SecretResolverOptions = {
  env?: Readonly<Record<string, string | undefined>>;
  /** The 1Password program. */
  op?: string;
  /** Pause before another try after a transient failure of `op`; doubles each time. */
  retryDelayMs?: number;
  now?: () => number;
};

/** Attempts inside one call; after them the activity's own retries go on. */
const OP_ATTEMPTS = 3;
const OP_TIMEOUT_MS = 20_000;
/** A run asks for the same password dozens of times; 1Password limits calls a day. Short, so that a rotated secret arrives soon. */
const OP_CACHE_MS = 5 * 60_000;
/** Docker and Kubernetes mount secrets world-readable inside the container, where the mount itself is the protection. */
const MOUNTED_SECRETS = /^\/(var\/)?run\/secrets\//;
const WORLD_BITS = 0o007;

/**
 * Resolves `env:NAME`, `file:/path` and `op://vault/item/field`. Throws CredentialsRefused for what a person must mend and
 * SecretUnavailable (retried) when 1Password does not answer.
 */
export function createSecretResolver(options: SecretResolverOptions = {}): (reference: string) => Promise<string> {
  const env = options.env ?? process.env;
  const now = options.now ?? Date.now;
  const cache = new Map<string, { value: string; until: number }>();
  return async (reference) => {
    if (reference.startsWith('env:')) return readEnvironmentVariable(reference, env);
    if (reference.startsWith('file:')) return readSecretFile(reference);
    if (!reference.startsWith('op://')) {
      // Somebody may have written the secret itself here: the text is not shown.
      throw stepFailure('CredentialsRefused', 'a secret is given that is not a reference', {
        hint: 'write env:NAME, file:/path or op://vault/item/field in the config',
      });
    }
    const cached = cache.get(reference);
    if (cached !== undefined && cached.until > now()) return cached.value;
    const value = await readFromOp(reference, env, options);
    cache.set(reference, { value, until: now() + OP_CACHE_MS });
    return value;
  };
}

function readEnvironmentVariable(reference: string, env: Readonly<Record<string, string | undefined>>): string {
  const value = env[reference.slice('env:'.length)];
  return requireValue(value ?? '', reference, 'set the variable in the environment of the worker and start it again');
}

async function readSecretFile(reference: string): Promise<string> {
  const path = reference.slice('file:'.length);
  const file = await open(path, 'r').catch((cause: unknown) => {
    const code = errorCodeOf(cause) ?? 'unknown';
    throw stepFailure('CredentialsRefused', `the secret ${reference} cannot be read (${code})`, {
      hint: 'create the file, readable for the worker and for nobody else, then `pgr retry`',
    });
  });
  try {
    const stat = await file.stat();
    if (!stat.isFile()) throw stepFailure('CredentialsRefused', `the secret ${reference} is not a regular file`);
    if ((stat.mode & WORLD_BITS) !== 0 && !MOUNTED_SECRETS.test(path)) {
      throw stepFailure('CredentialsRefused', `the secret ${reference} can be read by every user of the host`, {
        hint: `run \`chmod 600 ${path}\` and change the secret, then \`pgr retry\``,
      });
    }
    const text = await file.readFile('utf8');
    return requireValue(text.replace(/\r?\n$/, ''), reference, 'write the secret into the file, then `pgr retry`');
  } finally {
    await file.close();
  }
}

async function readFromOp(
  reference: string,
  env: Readonly<Record<string, string | undefined>>,
  options: SecretResolverOptions,
): Promise<string> {
  const program = options.op ?? env['PGR_OP'] ?? 'op';
  // Loaded when it is needed: `wal-push`, which is started once per segment, resolves other references only.
  const { minimalEnvironment, runProgram } = await import('../lib/exec.js');
  let delay = options.retryDelayMs ?? 1_000;
  for (let attempt = 1; ; attempt += 1) {
    const result = await runProgram(program, opReadArgs(reference), {
      env: { ...minimalEnvironment(), ...opEnvironment(env) },
      timeoutMs: OP_TIMEOUT_MS,
    }).catch((cause: unknown) => {
      throw stepFailure('CredentialsRefused', `the secret ${reference} cannot be read: ${program} does not start`, {
        hint: 'install the 1password program `op` where the worker runs, then `pgr retry`',
        cause,
      });
    });
    if (result.exitCode === 0) return requireValue(result.stdout, reference, 'fill the field in 1password');
    const kind = result.timedOut ? 'transient' : classifyOpFailure(result.stderr);
    if (kind !== 'transient' || attempt === OP_ATTEMPTS) throw opFailure(reference, kind);
    await sleep(delay);
    delay *= 2;
  }
}

function opFailure(reference: string, kind: keyof typeof OP_HINTS) {
  const type = kind === 'transient' ? 'SecretUnavailable' : 'CredentialsRefused';
  // Not op's own words: they may quote item names of the vault beyond the reference.
  return stepFailure(type, `1password does not give ${reference} (${kind})`, { hint: OP_HINTS[kind] });
}

/** `op` finds its account in OP_* variables and its config below HOME. */
function opEnvironment(env: Readonly<Record<string, string | undefined>>): Record<string, string> {
  const own = Object.entries(env).flatMap(([name, value]) =>
    value !== undefined && (name.startsWith('OP_') || name === 'XDG_CONFIG_HOME' || name === 'XDG_RUNTIME_DIR')
      ? [[name, value] as const]
      : [],
  );
  return Object.fromEntries(own);
}

function requireValue(value: string, reference: string, hint: string): string {
  if (value !== '') return value;
  throw stepFailure('CredentialsRefused', `the secret ${reference} is empty or not set`, { hint });
}
