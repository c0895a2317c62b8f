/** Secrets in 1Password: `op://vault/item/field`, read by its program with a service account or a Connect server. */
import { stepFailure } from '../lib/failure.js';
import { classifyOpFailure } from './classify-op-failure.js';
import { opReadArgs } from './commands.js';
import { readWithRetries } from './op-attempts.js';
import { requireValue } from './reference.js';

type Environment = Readonly<Record<string, string | undefined>>;

const OP_TIMEOUT_MS = 20_000;

/** The value. Throws CredentialsRefused for what a person must mend and SecretUnavailable (retried) when 1Password does not answer. */
export async function readFromOp(
  reference: string,
  env: Environment,
  { op, retryDelayMs }: { op?: string | undefined; retryDelayMs?: number | undefined },
): Promise<string> {
  const program = op ?? env['PGR_OP'] ?? 'op';
  // Loaded when it is needed: `wal-push`, which is started once per segment, resolves other references only.
  const { minimalEnvironment, runProgram } = await import('../lib/exec.js');
  const value = await readWithRetries(
    reference,
    async () => {
      const result = await runProgram(program, opReadArgs(reference), {
        env: { ...minimalEnvironment(), ...opEnvironment(env) },
        timeoutMs: OP_TIMEOUT_MS,
      }).catch((cause: unknown) => {
        throw stepFailure('CredentialsRefused', `the secret ${reference} cannot be read: ${program} does not start`, {
          hint: 'install the 1password program `op` where the worker runs, then `pgr retry`',
          cause,
        });
      });
      if (result.exitCode === 0) return { value: result.stdout };
      return { failure: result.timedOut ? 'transient' : classifyOpFailure(result.stderr) };
    },
    retryDelayMs,
  );
  return requireValue(value, reference, 'fill the field in 1password');
}

/** `op` finds its account in OP_* variables and its config below HOME. */
function opEnvironment(env: Environment): Record<string, string> {
  const own = Object.entries(env).flatMap(([name, value]) =>
    value !== undefined && (name.startsWith('OP_') || name === 'XDG_CONFIG_HOME' || name === 'XDG_RUNTIME_DIR')
      ? [[name, value] as const]
      : [],
  );
  return Object.fromEntries(own);
}
