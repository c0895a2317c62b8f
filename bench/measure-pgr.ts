/**
 * (c) `pgr pitr` itself, with a Temporal server and a worker that were there before: from the start of the command to a paused, readable server,
 * as somebody at the keyboard sees it.
 */
import type { ChildProcess } from 'node:child_process';
import { readdir, rm } from 'node:fs/promises';
import path from 'node:path';

import type { RestoreBaseResult } from '../shared/contracts/sandbox.js';
import type { RunView, StepView } from '../shared/contracts/status.js';
import { proveTarget, seconds, untilPaused, type Measured } from './measured.js';
import { ended, runProgram, startProgram, watchPeakMemory, watchPeakMemoryOf } from './processes.js';
import { BENCH_ENVIRONMENT, fileText, isoTime, secretEnvironment, until, type Bench } from './setup.js';

/** Temporal and the worker, started once for all rounds. */
export type PgrServers = { worker: ChildProcess; close(): Promise<void> };

/** Starts what a run needs to be there. */
export async function startPgrServers(
  bench: Pick<Bench, 'dir' | 'distDir' | 'configPath' | 'temporalPort' | 'temporal'>,
): Promise<PgrServers> {
  const { dir, distDir, configPath, temporalPort } = bench;
  const attributes = ['PgrEnvironment', 'PgrRunbook', 'PgrStep', 'PgrStatus', 'PgrTarget'];
  const temporalArgs = [
    ...['server', 'start-dev', '--headless', '--ip', '127.0.0.1', '--port', String(temporalPort)],
    ...['--db-filename', path.join(dir, 'temporal.db'), '--log-level', 'error'],
    ...attributes.flatMap((name) => ['--search-attribute', `${name}=Keyword`]),
  ];
  const temporal = startProgram(bench.temporal, temporalArgs, path.join(dir, 'temporal.log'));
  const workerLog = path.join(dir, 'worker.log');
  const program = path.join(distDir, 'workers', 'main.js');
  const worker = startProgram(process.execPath, [program, 'worker', '--all', '--config', configPath], workerLog, {
    env: secretEnvironment(),
  });
  const close = async (): Promise<void> => {
    worker.kill('SIGTERM');
    await ended(worker);
    temporal.kill('SIGTERM');
    await ended(temporal);
  };
  try {
    await until('the worker', 60_000, async () => {
      if (!(await fileText(workerLog)).includes('worker is ready')) throw new Error('not yet');
    });
  } catch (error) {
    await close();
    throw error;
  }
  return { worker, close };
}

/** Measures it once; `say` gets what each step took. `options` are further ones of the command. */
export async function measurePgr(
  bench: Bench,
  { worker }: PgrServers,
  say: (text: string) => void,
  options: readonly string[] = [],
): Promise<Measured> {
  const { dir, distDir, configPath, sandboxPort } = bench;
  const program = path.join(distDir, 'cli', 'main.js');
  const pgr = async (...args: string[]): Promise<unknown> =>
    JSON.parse(
      await runProgram(process.execPath, [program, ...args, '--config', configPath, '--json'], {
        env: secretEnvironment(),
      }),
    );
  const peaks = [watchPeakMemory(worker), watchPeakMemoryOf(['mover.cjs', configPath])];
  const startedAt = Date.now();
  const started = performance.now();
  const { run } = (await pgr('pitr', BENCH_ENVIRONMENT, '--to', isoTime(bench.target.time), ...options)) as {
    run: string;
  };
  await untilPaused(sandboxPort, worker, path.join(dir, 'worker.log'));
  const totalSeconds = seconds(started);
  await proveTarget(sandboxPort);
  let view = (await pgr('show', run)) as RunView;
  await until('the end of the run', 120_000, async () => {
    view = (await pgr('show', run)) as RunView;
    if (view.status !== 'completed') throw new Error(view.failure?.message ?? view.status);
  });
  const peakMemoryBytes = peaks.reduce((sum, peak) => sum + peak(), 0);
  say(view.steps.flatMap((step) => stepText(step, startedAt)).join(', '));
  const bytes = await fetchedBytes(path.join(dir, 'state', 'jobs'));
  await pgr('discard', run);
  await until('the sandbox to be gone', 60_000, async () => {
    const left = await readdir(path.join(dir, 'sandboxes'));
    if (left.length > 0) throw new Error(left.join(', '));
  });
  await rm(path.join(dir, 'state', 'jobs'), { recursive: true, force: true });
  const restoreSeconds = secondsUntilEnd(view, 'restore-base');
  return { restoreSeconds, replaySeconds: totalSeconds - restoreSeconds, totalSeconds, bytes, peakMemoryBytes };
}

function secondsUntilEnd(view: RunView, id: string): number {
  const end = view.steps.find((step) => step.id === id)?.endedAt ?? '';
  return (Date.parse(end) - Date.parse(view.startedAt)) / 1000;
}

/** `restore-base 1.20–3.10`: when a step began and ended, in seconds after the command was given. */
function stepText({ id, startedAt, endedAt }: StepView, sinceMs: number): string[] {
  if (startedAt === null || endedAt === null) return [];
  const [from, to] = [startedAt, endedAt].map((time) => ((Date.parse(time) - sinceMs) / 1000).toFixed(2));
  return [`${id} ${String(from)}–${String(to)}`];
}

/** What the mover of the only run said it fetched. */
async function fetchedBytes(jobsDir: string): Promise<number> {
  const jobs = await readdir(jobsDir);
  const results = await Promise.all(jobs.map((job) => fileText(path.join(jobsDir, job, 'result.json'))));
  return results
    .filter((text) => text.includes('fetchedBytes'))
    .reduce((sum, text) => sum + (JSON.parse(text) as RestoreBaseResult).fetchedBytes, 0);
}
