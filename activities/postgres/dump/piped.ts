/** Output of a program as it comes. The exit code is read at the end: a stream that broke off is never taken for a whole one. */
import { spawn, type ChildProcess } from 'node:child_process';
import type { Readable } from 'node:stream';

import { minimalEnvironment } from '../../lib/exec.js';
import { stepFailure } from '../../lib/failure.js';

/** What a program says on standard error is short; more of it is not kept. */
const STDERR_BYTES = 64 * 1024;

export type Piped = {
  program: string;
  args: readonly string[];
  env?: Record<string, string>;
  /** What it reads on standard input; when that breaks off, the program is ended and its failure thrown. */
  input?: Readable;
  /** The failure of a program that did not end well, from what it wrote. */
  failed: (stderr: string) => Error;
  /** A program that writes nothing for this long is ended: pg_restore reads a damaged archive round and round. */
  stallMs?: number;
};

/**
 * Yields standard output. Throws `failed` when the program ends with anything but 0, CommandFailed when it cannot be started. A caller that
 * leaves the loop early ends the program.
 */
export async function* outputOf({ program, args, env, input, failed, stallMs }: Piped): AsyncGenerator<Buffer> {
  const child = spawn(program, args, {
    cwd: '/',
    stdio: [input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
    env: { ...minimalEnvironment(), ...env },
  });
  const broken = input === undefined ? null : feed(child, input);
  const stderr = collectErrors(child);
  const ended = new Promise<number | null | Error>((resolve) => {
    child.once('error', resolve);
    child.once('close', resolve);
  });
  const watch = watchForStall(child, stallMs);
  try {
    for await (const piece of outputStream(child)) {
      watch.moved();
      yield piece as Buffer;
    }
    const end = await ended;
    throwIfBroken(broken);
    if (watch.stalled()) throw failed(`it wrote nothing for ${String((stallMs ?? 0) / 1_000)} s`);
    if (end instanceof Error) throw cannotStart(program, end);
    if (end !== 0) throw failed(stderr.text);
  } finally {
    watch.end();
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
  }
}

function collectErrors(child: ChildProcess): { text: string } {
  const collected = { text: '' };
  child.stderr?.on('data', (data: Buffer) => {
    if (collected.text.length < STDERR_BYTES) collected.text += data.toString('utf8');
  });
  return collected;
}

function outputStream({ stdout }: ChildProcess): Readable {
  if (stdout === null) throw new TypeError('the program has no standard output');
  return stdout;
}

function throwIfBroken(broken: { error?: Error } | null): void {
  if (broken?.error !== undefined) throw broken.error;
}

/** Hands `input` to the program; a program that ended does not read any more, and says itself why. */
function feed(child: ChildProcess, input: Readable): { error?: Error } {
  const broken: { error?: Error } = {};
  child.stdin?.on('error', () => input.destroy());
  input.on('error', (error) => {
    broken.error = error;
    child.kill('SIGKILL');
  });
  if (child.stdin !== null) input.pipe(child.stdin);
  return broken;
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
