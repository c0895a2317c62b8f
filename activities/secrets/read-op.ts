/** Secrets in 1Password: `op://vault/item/field`, read by its program with a service account or a Connect server. */
import { setTimeout as sleep } from 'node:timers/promises';

import { stepFailure } from '../lib/failure.js';
import { classifyOpFailure, OP_HINTS } from './classify-op-failure.js';
import { opReadArgs } from './commands.js';
import { requireValue } from './reference.js';

type Environment = Readonly<Record<string, string | undefined>>;

/** Attempts inside one call; after them the activity's own retries go on. */
const OP_ATTEMPTS = 3;
const OP_TIMEOUT_MS = 20_000;

/** The value. Throws CredentialsRefused for what a person must mend and SecretUnavailable (retried) when 1Password does not answer. */
export async function readFromOp(
  reference: string,
  env: Environment,
  { op, retryDelayMs = 1_000 }: { op?: string | undefined; retryDelayMs?: number | undefined },
): Promise<string> {
  const program = op ?? env['PGR_OP'] ?? 'op';
  // Loaded when it is needed: `wal-push`, which is started once per segment, resolves other references only.
  const { minimalEnvironment, runProgram } = await import('../lib/exec.js');
  let delay = retryDelayMs;
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
function opEnvironment(env: Environment): Record<string, string> {
  const own = Object.entries(env).flatMap(([name, value]) =>
    value !== undefined && (name.startsWith('OP_') || name === 'XDG_CONFIG_HOME' || name === 'XDG_RUNTIME_DIR')
      ? [[name, value] as const]
      : [],
  );
  return Object.fromEntries(own);
}
