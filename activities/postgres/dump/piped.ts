/** Output of a program as it comes. The exit code is read at the end: a stream that broke off is never taken for a whole one. */
import { spawn, type ChildProcess } from 'node:child_process';

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
  /** A program that writes nothing for this long is ended: pg_restore reads a damaged archive round and round. */
  stallMs?: number;
};

/**
 * Yields standard output. Throws `failed` when the program ends with anything but 0, CommandFailed when it cannot be started. A caller that
 * leaves the loop early ends the program.
 */
export async function* outputOf({ program, args, env, failed, stallMs }: Piped): AsyncGenerator<Buffer> {
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
  const watch = watchForStall(child, stallMs);
  try {
    for await (const piece of child.stdout) {
      watch.moved();
      yield piece as Buffer;
    }
    const end = await ended;
    if (watch.stalled()) throw failed(`it wrote nothing for ${String((stallMs ?? 0) / 1_000)} s`);
    if (end instanceof Error) throw cannotStart(program, end);
    if (end !== 0) throw failed(stderr);
  } finally {
    watch.end();
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
  }
}

type Watch = { moved(): void; stalled(): boolean; end(): void };

function watchForStall(child: ChildProcess, stallMs: number | undefined): Watch {
  let stalled = false;
  const timer =
    stallMs === undefined
      ? undefined
      : setTimeout(() => {
          stalled = true;
          child.kill('SIGKILL');
        }, stallMs);
  return {
    moved: () => timer?.refresh(),
    stalled: () => stalled,
    end: () => {
      clearTimeout(timer);
    },
  };
}

function cannotStart(program: string, cause: Error & { code?: string }): Error {
  const why = cause.code === 'ENOENT' ? 'it is not installed on this host' : cause.message;
  return stepFailure('PreconditionFailed', `cannot start ${program}: ${why}`, {
    hint: 'install it, or unpack the file by hand and name the result',
  });
}
