/** What an ended job left: exit, output and the end of its log. */
import { open, readFile } from 'node:fs/promises';
import { constants } from 'node:os';
import path from 'node:path';

import { maskSecrets } from '../lib/exec-secrets.js';
import type { JobResult, JobSpec } from '../lib/job-runner.js';
import type { Claim, JobState } from './job-files.js';

const TAIL_LINES = 20;
const TAIL_BYTES = 64 * 1024;

/** Result of an ended job. A shell reports a command that signal N killed as exit code 128 + N. */
export async function resultOf(
  dir: string,
  spec: JobSpec,
  state: Extract<JobState, { kind: 'ended' }>,
): Promise<JobResult> {
  const signal = signalOf(state.code);
  return {
    running: false,
    exitCode: signal === null ? state.code : null,
    signal,
    seconds: secondsBetweenMs(state.claim.claimedAtMs, state.endedAtMs),
    logTail: await readLogTail(dir, spec.env),
    logFile: path.join(dir, 'log'),
    output: await readOutput(dir),
  };
}

/** Result of a job that goes on by itself. */
export async function runningResult(dir: string, spec: JobSpec, claim: Claim): Promise<JobResult> {
  return {
    running: true,
    exitCode: null,
    signal: null,
    seconds: secondsBetweenMs(claim.claimedAtMs, Date.now()),
    logTail: await readLogTail(dir, spec.env),
    logFile: path.join(dir, 'log'),
    output: null,
  };
}

function signalOf(code: number): string | null {
  if (code <= 128) return null;
  const found = Object.entries(constants.signals).find(([, number]) => number === code - 128);
  return found === undefined ? null : found[0];
}

function secondsBetweenMs(fromMs: number, toMs: number): number {
  return Math.max(0, Math.round(toMs - fromMs) / 1_000);
}

/** `result.json`, null when the job left none (or half of one). */
async function readOutput(dir: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(path.join(dir, 'result.json'), 'utf8')) as unknown;
  } catch {
    return null;
  }
}

/** Last lines of the log, secrets masked; empty when there is none. */
export async function readLogTail(dir: string, env: Readonly<Record<string, string>> = {}): Promise<string[]> {
  const handle = await open(path.join(dir, 'log'), 'r').catch(() => null);
  if (handle === null) return [];
  try {
    const { size } = await handle.stat();
    const length = Math.min(size, TAIL_BYTES);
    const { buffer } = await handle.read(Buffer.alloc(length), 0, length, size - length);
    const lines = maskSecrets(buffer.toString('utf8'), env).split('\n');
    // pg_basebackup and others redraw one line with carriage returns.
    const shown = lines.map((line) => line.split('\r').at(-1) ?? '').filter((line) => line.trim() !== '');
    return shown.slice(-TAIL_LINES);
  } finally {
    await handle.close();
  }
}
