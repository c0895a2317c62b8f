/** The lab's worker: all roles in one process. */
import { createHash } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';

import type { ProcessIdentity } from '../activities/lib/process-identity.js';
import { workerArgs } from './commands.js';
import { updateState, type LabContext } from './context.js';
import type { LabPaths } from './paths.js';
import { findRunning, startDetached, stopProcess, waitUntilReady, type DetachedProgram } from './process.js';

/** What the worker logs once it polls its queues. */
const READY_TEXT = 'worker is ready';
const READY_TIMEOUT_MS = 90_000;
/** Running activities get their time to hand over; after that the next worker takes them up anyway. */
export const WORKER_GRACE_MS = 15_000;

/** Words of the command line that name this lab's worker. */
export function workerSignature(paths: LabPaths): string[] {
  return ['worker', '--all', '--config', paths.config];
}

/** Starts the worker unless it runs with today's recovery.yaml, which it reads only at its start. Returns its pid. */
export async function startWorker(
  context: LabContext,
): Promise<{ pid: number; outcome: 'started' | 'restarted' | 'already-running' }> {
  const { paths, state } = context;
  const config = await digestOf(paths.config);
  const running = await findRunning(state.processes.worker, workerSignature(paths));
  if (running !== null && state.workerConfig === config) {
    await updateState(context, { processes: { ...state.processes, worker: running } });
    return { pid: running.pid, outcome: 'already-running' };
  }
  if (running !== null) await stopProcess(running, WORKER_GRACE_MS);
  const identity = await launch(context, config);
  return { pid: identity.pid, outcome: running === null ? 'started' : 'restarted' };
}

async function launch(context: LabContext, config: string): Promise<ProcessIdentity> {
  const { paths, state, distDir, node } = context;
  const program: DetachedProgram = {
    name: 'worker',
    program: node,
    args: workerArgs(distDir, paths),
    logFile: paths.log('worker'),
    signature: workerSignature(paths),
  };
  const logStart = await sizeOf(program.logFile);
  const identity = await startDetached(program);
  await updateState(context, { processes: { ...state.processes, worker: identity }, workerConfig: config });
  const ready = async (): Promise<boolean> =>
    (await readFile(program.logFile)).subarray(logStart).toString('utf8').includes(READY_TEXT);
  await waitUntilReady(program, identity, ready, READY_TIMEOUT_MS);
  return identity;
}

async function sizeOf(file: string): Promise<number> {
  return stat(file).then(
    (found) => found.size,
    () => 0,
  );
}

async function digestOf(file: string): Promise<string> {
  return createHash('sha256')
    .update(await readFile(file))
    .digest('hex');
}
