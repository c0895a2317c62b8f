/**
 * Values of secret references (invariant 10). A value is handed to the caller and to the mask, and nowhere else: it is in no message, no log and
 * no argument list. References are names, so messages may show them.
 */
import { stepFailure } from '../lib/failure.js';
import type { SecretMask } from '../lib/secret-mask.js';
import { readSecretFile } from './read-file.js';
import { requireValue } from './reference.js';

export type SecretResolverOptions = {
  env?: Readonly<Record<string, string | undefined>>;
  /** The 1Password program. */
  op?: string;
  /** Pause before another try after a transient failure of `op`; doubles each time. */
  retryDelayMs?: number;
  /** Time that the command of an `exec:` is given. */
  execTimeoutMs?: number;
  now?: () => number;
  /** Learns every value. */
  mask?: Pick<SecretMask, 'learn'>;
};

type Resolve = (reference: string) => Promise<string>;

/** A run asks for the same password dozens of times, and managers count and limit calls. Short, so that a rotated secret arrives soon. */
const CACHE_MS = 5 * 60_000;

/**
 * Resolves `env:NAME`, `file:/path`, `op://vault/item/field` and `exec:PROGRAM ARGUMENTS`. Throws CredentialsRefused for what a person must
 * mend and SecretUnavailable (retried) when a manager does not answer.
 */
export function createSecretResolver(options: SecretResolverOptions = {}): Resolve {
  const env = options.env ?? process.env;
  const readSlowly = cached(async (reference) => {
    if (reference.startsWith('op://')) return readFromOnePassword(reference, env, options);
    return (await import('./read-exec.js')).readFromExec(reference, env, options.execTimeoutMs);
  }, options.now ?? Date.now);
  return async (reference) => {
    const value = await read(reference, env, readSlowly);
    options.mask?.learn(value);
    return value;
  };
}

/** By a Connect server where the worker has one, which needs no program; else by `op`. Loaded when it is needed, as `wal-push` is started often. */
async function readFromOnePassword(
  reference: string,
  env: Readonly<Record<string, string | undefined>>,
  options: SecretResolverOptions,
): Promise<string> {
  const { connectServerOf, readFromConnect } = await import('./read-connect.js');
  const server = options.op === undefined ? connectServerOf(env, reference) : null;
  if (server === null) return (await import('./read-op.js')).readFromOp(reference, env, options);
  options.mask?.learn(server.token);
  return readFromConnect(reference, server, options);
}

function read(
  reference: string,
  env: Readonly<Record<string, string | undefined>>,
  readSlowly: Resolve,
): Promise<string> {
  if (reference.startsWith('file:')) return readSecretFile(reference);
  if (reference.startsWith('op://') || reference.startsWith('exec:')) return readSlowly(reference);
  return Promise.resolve().then(() => {
    if (reference.startsWith('env:')) return readEnvironmentVariable(reference, env);
    // Somebody may have written the secret itself here: the text is not shown.
    throw stepFailure('CredentialsRefused', 'a secret is given that is not a reference', {
      hint: 'write env:NAME, file:/path, op://vault/item/field or exec:PROGRAM ARGUMENTS in the config',
    });
  });
}

/** Values for some minutes, in memory only; callers that come together ask once. Failures are not kept. */
function cached(resolve: Resolve, now: () => number): Resolve {
  const values = new Map<string, { value: Promise<string>; until: number }>();
  return (reference) => {
    const known = values.get(reference);
    if (known !== undefined && known.until > now()) return known.value;
    const entry = { value: resolve(reference), until: now() + CACHE_MS };
    values.set(reference, entry);
    entry.value.catch(() => {
      if (values.get(reference) === entry) values.delete(reference);
    });
    return entry.value;
  };
}

function readEnvironmentVariable(reference: string, env: Readonly<Record<string, string | undefined>>): string {
  const value = env[reference.slice('env:'.length)];
  return requireValue(value ?? '', reference, 'set the variable in the environment of the worker and start it again');
}
