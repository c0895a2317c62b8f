/**
 * Runs pg_waldump and hands its records over one by one: about 150 bytes of text per commit are never held together. It only reads
 * the segments it is pointed at; a second run reads the same.
 */
import { spawn } from 'node:child_process';
import { setTimeout, clearTimeout } from 'node:timers';
import path from 'node:path';

import { minimalEnvironment, runProgram } from '../lib/exec.js';
import { stepFailure } from '../lib/failure.js';
import { waldumpArgs, type WaldumpRange } from './waldump-command.js';
import { parseWalRecord, type WalRecord } from './waldump-record.js';

/** How it ended. `stderr` is empty when every record of the range was read. */
export type WaldumpEnd = { exitCode: number | null; signal: NodeJS.Signals | null; stderr: string };

/** Return `stop` to see no more records. */
export type VisitRecord = (record: WalRecord) => 'stop' | undefined;

/** A batch of segments is read in well under a second; five minutes without an end mean a disk that does not answer. */
const TIMEOUT_MS = 300_000;
const STDERR_LIMIT = 16 * 1024;

/**
 * Reads a range of segments. Throws CommandFailed when the program cannot be started or is killed; what its complaints about the WAL mean
 * is the caller's to judge.
 */
export async function runWaldump(binDir: string, range: WaldumpRange, visit: VisitRecord): Promise<WaldumpEnd> {
  const program = path.join(binDir, 'pg_waldump');
  const child = spawn(program, waldumpArgs(range), {
    env: minimalEnvironment(),
    cwd: '/',
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const timer = setTimeout(() => child.kill('SIGKILL'), TIMEOUT_MS);
  const reading = { stopped: false, failure: null as Error | null };
  const lines = lineSplitter((line) => {
    const record = reading.stopped ? null : parseWalRecord(line);
    if (record === null || visit(record) !== 'stop') return;
    reading.stopped = true;
    child.kill('SIGKILL');
  });
  let stderr = '';
  child.stderr.setEncoding('latin1').on('data', (text: string) => {
    if (stderr.length < STDERR_LIMIT) stderr += text;
  });
  child.stdout.setEncoding('latin1').on('data', (text: string) => {
    if (reading.failure !== null) return;
    try {
      lines.push(text);
    } catch (error) {
      reading.failure = error instanceof Error ? error : new Error(String(error));
      child.kill('SIGKILL');
    }
  });
  try {
    const end = await ended(child, program);
    if (reading.failure !== null) throw reading.failure;
    lines.finish();
    if (reading.stopped) return { exitCode: 0, signal: null, stderr: '' };
    if (end.signal !== null) throw stepFailure('CommandFailed', `${program} was killed by ${end.signal}`);
    return { ...end, stderr };
  } finally {
    clearTimeout(timer);
  }
}

/** Waits until the program has ended and its pipes are empty. */
function ended(
  child: ReturnType<typeof spawn>,
  program: string,
): Promise<{ exitCode: number | null; signal: NodeJS.Signals | null }> {
  return new Promise((resolve, reject) => {
    child.once('error', (error) => {
      reject(
        stepFailure('CommandFailed', `cannot start ${program}: ${error.message}`, {
          hint: 'set binDir of this host to a directory that holds the programs of the server, pg_waldump included',
        }),
      );
    });
    child.once('close', (exitCode, signal) => {
      resolve({ exitCode, signal });
    });
  });
}

/** Cuts chunks into lines; the last one needs no line feed. */
function lineSplitter(take: (line: string) => void): { push: (text: string) => void; finish: () => void } {
  let rest = '';
  return {
    push(text) {
      const all = rest + text;
      let from = 0;
      for (let at = all.indexOf('\n'); at >= 0; at = all.indexOf('\n', from)) {
        take(all.slice(from, at));
        from = at + 1;
      }
      rest = all.slice(from);
    },
    finish() {
      if (rest !== '') take(rest);
    },
  };
}

/** Major version of the programs in `binDir`; they read WAL of their own major only. Throws CommandFailed. */
export async function majorOfPrograms(binDir: string): Promise<number> {
  const program = path.join(binDir, 'pg_waldump');
  const { stdout } = await runProgram(program, ['--version']);
  const major = /\(PostgreSQL\) (\d+)/.exec(stdout)?.[1];
  if (major !== undefined) return Number(major);
  throw stepFailure('CommandFailed', `${program} --version printed no version`);
}
