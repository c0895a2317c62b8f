/**
 * Start, stop and status of the writing application, for the `command` app provider and for the lab itself. `stop` by a recovery
 * means that the application has to stay down: `lab up` respects it.
 */
import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';

import type { ProcessIdentity } from '../activities/lib/process-identity.js';
import { writerArgs } from './commands.js';
import { readText, replaceText } from './files.js';
import { takeLock } from './lock.js';
import type { LabPaths } from './paths.js';
import { findRunning, startDetached, stopProcess } from './process.js';

export type WriterRecord = { wanted: 'running' | 'stopped'; process: ProcessIdentity | null };

/** A transaction of the writer takes milliseconds; a statement that waits for a lock ends with the session. */
const GRACE_MS = 5_000;
const LOCK_TIMEOUT_MS = 20_000;

/** Words of the command line that name this lab's writer. */
function writerSignature(paths: LabPaths): string[] {
  return ['--writer-of', paths.dir];
}

/** What the last start or stop wanted; a lab whose writer was never started wants it to run. */
export async function readWriter(paths: LabPaths): Promise<WriterRecord> {
  const text = await readText(paths.writerState);
  if (text === null) return { wanted: 'running', process: null };
  return JSON.parse(text) as WriterRecord;
}

/** The living writer, null when none runs. */
export async function findWriter(paths: LabPaths): Promise<ProcessIdentity | null> {
  const { process: recorded } = await readWriter(paths);
  return findRunning(recorded ?? undefined, writerSignature(paths));
}

/** Starts the writer unless it runs. */
export async function startWriter(
  paths: LabPaths,
  program: { node: string; distDir: string },
): Promise<{ outcome: 'started' | 'already-started'; pid: number }> {
  return exclusively(paths, async () => {
    const running = await findWriter(paths);
    const identity = running ?? (await launch(paths, program));
    await writeRecord(paths, { wanted: 'running', process: identity });
    return { outcome: running === null ? 'started' : 'already-started', pid: identity.pid };
  });
}

async function launch(paths: LabPaths, program: { node: string; distDir: string }): Promise<ProcessIdentity> {
  const logFile = paths.log('writer');
  await mkdir(dirname(logFile), { recursive: true });
  return startDetached({
    name: 'writer',
    program: program.node,
    args: writerArgs(program.distDir, paths),
    logFile,
    signature: writerSignature(paths),
  });
}

/** Stops the writer. `wanted` says whether it has to stay down (a recovery) or comes back with the lab (`lab down`). */
export async function stopWriter(
  paths: LabPaths,
  wanted: 'stopped' | 'unchanged',
): Promise<'stopped' | 'already-stopped'> {
  return exclusively(paths, async () => {
    const before = await readWriter(paths);
    // Written first: after a crash in between, nobody brings back what somebody wanted down.
    if (wanted === 'stopped') await writeRecord(paths, { ...before, wanted: 'stopped' });
    const running = await findWriter(paths);
    const outcome = running === null ? 'already-stopped' : await stopProcess(running, GRACE_MS);
    await writeRecord(paths, { wanted: wanted === 'stopped' ? 'stopped' : before.wanted, process: null });
    return outcome;
  });
}

async function writeRecord(paths: LabPaths, record: WriterRecord): Promise<void> {
  await replaceText(paths.writerState, `${JSON.stringify(record)}\n`, { mode: 0o644 });
}

async function exclusively<T>(paths: LabPaths, work: () => Promise<T>): Promise<T> {
  const lock = await takeLock({ dir: paths.writerLockDir, timeoutMs: LOCK_TIMEOUT_MS, onWait: () => undefined });
  try {
    return await work();
  } finally {
    await lock.release();
  }
}
