/** Secrets of any other manager: `exec:vault kv get -field=password secret/db`. What the program prints is the secret. */
import { stepFailure } from '../lib/failure.js';
import { execCommand } from './commands.js';
import { nameOfReference, requireValue } from './reference.js';

/** A manager that needs longer is down. */
const EXEC_TIMEOUT_MS = 20_000;
/** `timeout`, `env` and shells say with these that they could not start the program. */
const NOT_STARTED = new Set([126, 127]);

/**
 * The standard output of the command without the line end; standard error and the arguments are in no message. The program gets the environment
 * of the worker, where its own token is. Throws SecretUnavailable (retried) when it fails or does not end in time: the exit codes of such programs do
 * not tell a refusal from a server that is down.
 */
export async function readFromExec(
  reference: string,
  env: Readonly<Record<string, string | undefined>>,
  timeoutMs: number = EXEC_TIMEOUT_MS,
): Promise<string> {
  const name = nameOfReference(reference);
  const command = execCommand(reference);
  if (command === null) {
    throw stepFailure('CredentialsRefused', `the secret ${name} is not a command`, {
      hint: 'there is no shell: write a list, { exec: [vault, kv, get, -field=password, secret/db] }',
    });
  }
  const [program, ...args] = command;
  const { runProgram } = await import('../lib/exec.js');
  const result = await runProgram(program, args, { env: definedOf(env), timeoutMs }).catch(() => null);
  if (result === null || (result.exitCode !== null && NOT_STARTED.has(result.exitCode))) {
    throw stepFailure('CredentialsRefused', `the secret ${name} cannot be read: the program does not start`, {
      hint: 'install the program where the worker runs, or give its path, then `pgr retry`',
    });
  }
  if (result.exitCode !== 0) {
    const ended = result.timedOut ? 'did not end in time' : `ended with ${exitOf(result)}`;
    throw stepFailure('SecretUnavailable', `the secret ${name} cannot be read: the program ${ended}`, {
      hint: 'run the same command as the user of the worker and see what it says, then `pgr retry`',
    });
  }
  return requireValue(result.stdout.replace(/\r?\n$/, ''), reference, 'the command printed nothing; see what it reads');
}

function exitOf({ exitCode, signal }: { exitCode: number | null; signal: string | null }): string {
  return exitCode === null ? (signal ?? 'no exit code') : `exit code ${String(exitCode)}`;
}

function definedOf(env: Readonly<Record<string, string | undefined>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(env).flatMap(([name, value]) => (value === undefined ? [] : [[name, value] as const])),
  );
}
