/** The programs that the job of a restore runs: their errors are collected while they work, their output is never stored. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import path from 'node:path';

import type { RestoreError } from '../../../shared/contracts/dump.js';
import { minimalEnvironment } from '../../lib/exec.js';
import { stepFailure } from '../../lib/failure.js';
import { errorOf, MOST_ERRORS } from './restore-errors.js';

export type RestoreErrors = { first: RestoreError[]; count: number; harmless: number };

export function noErrors(): RestoreErrors {
  return { first: [], count: 0, harmless: 0 };
}

/** Counts one error; it goes to the log of the job too. */
export function addError(errors: RestoreErrors, error: RestoreError): void {
  errors.count += 1;
  if (error.harmless) errors.harmless += 1;
  if (errors.first.length < MOST_ERRORS) errors.first.push(error);
  process.stderr.write(`${error.harmless ? 'harmless' : 'error'}: ${error.message}\n`);
}

export type Ended = { exitCode: number | null; lastLines: string[] };

const LAST_LINES = 5;

/** Sessions of a restore may write: everything else in a sandbox is read-only. */
const WRITING = { PGOPTIONS: '-c default_transaction_read_only=off', PGAPPNAME: 'pgr restore-dump' };

/** Runs a program of PostgreSQL to its end. `input` is written to its standard input; when that breaks off, the program is killed before it can commit. */
export async function runRestoring(
  run: { binDir: string; program: string; args: readonly string[]; env?: Record<string, string> },
  errors: RestoreErrors,
  input: AsyncIterable<Buffer> | null = null,
): Promise<Ended> {
  const child = spawn(path.join(run.binDir, run.program), run.args, {
    cwd: '/',
    stdio: [input === null ? 'ignore' : 'pipe', 'ignore', 'pipe'],
    env: { ...minimalEnvironment(), ...WRITING, ...run.env },
  });
  const lastLines: string[] = [];
  const reading = readErrors(child, (line) => {
    lastLines.push(line);
    if (lastLines.length > LAST_LINES) lastLines.shift();
    const error = errorOf(line);
    if (error !== null) addError(errors, error);
  });
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once('error', (error) => {
      reject(stepFailure('CommandFailed', `cannot start ${run.program} in ${run.binDir}: ${error.message}`));
    });
    child.once('close', resolve);
  });
  ended.catch(() => undefined);
  if (input !== null) await feed(child, input);
  const exitCode = await ended;
  await reading;
  return { exitCode, lastLines };
}

async function readErrors(child: ChildProcess, take: (line: string) => void): Promise<void> {
  if (child.stderr === null) return;
  for await (const line of createInterface({ input: child.stderr })) take(line);
}

/** The end of the input is what commits: it is given only when all of the input came. */
async function feed(child: ChildProcess, input: AsyncIterable<Buffer>): Promise<void> {
  const { stdin } = child;
  if (stdin === null) return;
  // A program that ended does not read any more; why, it says itself.
  stdin.on('error', () => undefined);
  try {
    for await (const piece of input) {
      if (stdin.destroyed) return;
      if (!stdin.write(piece)) await Promise.race([once(stdin, 'drain'), once(child, 'close')]).catch(() => undefined);
    }
    stdin.end();
  } catch (error) {
    child.kill('SIGKILL');
    throw error;
  }
}
