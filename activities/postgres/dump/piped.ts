/** Output of a program as it comes. The exit code is read at the end: a stream that broke off is never taken for a whole one. */
import { spawn } from 'node:child_process';

import { minimalEnvironment } from '../../lib/exec.js';
import { stepFailure } from '../../lib/failure.js';

/** What a program says on standard error is short; more of it is not kept. */
const STDERR_BYTES = 64 * 1024;

export type Piped = {
  program: string;
  args: readonly string[];
  env?: Record<string, string>;
  /** The failure of a program that did not end well, from what it wrote. */
  failed: (stderr: string) => Error;
};

/**
 * Yields standard output. Throws `failed` when the program ends with anything but 0, CommandFailed when it cannot be started. A caller that
 * leaves the loop early ends the program.
 */
export async function* outputOf({ program, args, env, failed }: Piped): AsyncGenerator<Buffer> {
  const child = spawn(program, args, {
    cwd: '/',
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...minimalEnvironment(), ...env },
  });
  let stderr = '';
  child.stderr.on('data', (data: Buffer) => {
    if (stderr.length < STDERR_BYTES) stderr += data.toString('utf8');
  });
  const ended = new Promise<number | null | Error>((resolve) => {
    child.once('error', resolve);
    child.once('close', resolve);
  });
  try {
    for await (const piece of child.stdout) yield piece as Buffer;
    const end = await ended;
    if (end instanceof Error) throw cannotStart(program, end);
    if (end !== 0) throw failed(stderr);
  } finally {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
  }
}

function cannotStart(program: string, cause: Error & { code?: string }): Error {
  const why = cause.code === 'ENOENT' ? 'it is not installed on this host' : cause.message;
  return stepFailure('PreconditionFailed', `cannot start ${program}: ${why}`, {
    hint: 'install it, or unpack the file by hand and name the result',
  });
}
