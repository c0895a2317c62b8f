/**
 * Runs jobs (architecture section 7). A worker may die at any moment: the job goes on, and the next attempt finds it by its directory.
 * What an attempt does follows from the files alone: attach, read the result, or start it (again).
 */
import { readFile, rename, rm, stat } from 'node:fs/promises';
import { constants } from 'node:os';
import path from 'node:path';

import { currentActivity, pauseFor, readCancellation } from '../lib/cancellation.js';
import type { Log } from '../lib/deps.js';
import { stepFailure } from '../lib/failure.js';
import { createProgressReporter } from '../lib/heartbeat.js';
import type { JobProgress, JobResult, JobRunner, JobSpec, RunJobOptions } from '../lib/job-runner.js';
import { endJob, endRemains } from './end-job.js';
import { nextGeneration, readJobState, type JobState } from './job-files.js';
import { readLogTail, resultOf, runningResult } from './job-result.js';
import { startJob, type Started } from './start-job.js';

export type JobRunnerDeps = { stateDir: string; log: Log };

const POLL_MS = 50;
/** A job that dies without a result (out of memory, an operator's kill) is started again this often by one attempt. */
const STARTS_PER_ATTEMPT = 3;
/** Ids come from `jobIdFor`; anything else could name a place outside the jobs folder. */
const JOB_ID = /^[A-Za-z0-9][A-Za-z0-9._-]{0,200}$/;

/** Jobs below `<stateDir>/jobs`. */
export function createJobRunner({ stateDir, log }: JobRunnerDeps): JobRunner {
  const directory = (id: string): string => {
    if (!JOB_ID.test(id)) throw stepFailure('Bug', `"${id}" is not a job id`);
    return path.join(stateDir, 'jobs', id);
  };
  return {
    directory,
    run: async (spec, options = {}) => runJob(directory(spec.id), spec, options, log),
    forget: async (id) => forgetJob(directory(id)),
    end: async (id) => endAndForget(directory(id)),
  };
}

async function runJob(dir: string, spec: JobSpec, options: RunJobOptions, log: Log): Promise<JobResult> {
  const activity = currentActivity();
  const reporter = createProgressReporter();
  const starter = createStarter(dir, spec, log);
  for (;;) {
    const state = await readJobState(dir);
    if (state.kind === 'ended' && !wasEndedFromOutside(state.code)) return resultOf(dir, spec, state);
    if (spec.once === true && hasDied(state, starter)) {
      throw stepFailure('JobLost', `job ${spec.id} ended without a result and must not run twice on what it left`);
    }
    if (state.kind === 'ended') {
      await forgetJob(dir);
      continue;
    }
    if (state.kind !== 'running') await starter.start(state);
    else if (await options.until?.()) return runningResult(dir, spec, state.claim);
    await throwWhenCancelled(dir, activity);
    await reporter.beat(options.readProgress ?? (() => readProgressFile(dir)));
    await pauseFor(POLL_MS, activity);
  }
}

/**
 * A host that shuts down ends every process with TERM, the kernel ends the largest one with KILL when memory runs out: neither says
 * anything about the work, so the job counts as lost and is started again (HUP and INT likewise). Other signals are results: a crash.
 */
function wasEndedFromOutside(code: number): boolean {
  const { SIGHUP, SIGINT, SIGKILL, SIGTERM } = constants.signals;
  return [SIGHUP, SIGINT, SIGKILL, SIGTERM].includes(code - 128);
}

async function endAndForget(dir: string): Promise<void> {
  await endJob(dir);
  await forgetJob(dir);
}

async function throwWhenCancelled(dir: string, activity: ReturnType<typeof currentActivity>): Promise<void> {
  const cancellation = readCancellation(activity);
  if (cancellation === null) return;
  if (cancellation.endsWork) await endAndForget(dir);
  throw cancellation.failure;
}

/** It ran and left no result of its own; a wrapper of this attempt that is on its way may still write one. */
function hasDied(state: JobState, starter: Starter): boolean {
  return state.kind === 'ended' || (state.kind === 'lost' && !starter.isBusy());
}

type Starter = {
  start(state: Extract<JobState, { kind: 'absent' | 'lost' }>): Promise<void>;
  /** A wrapper of ours is on its way: it may still write the result. */
  isBusy(): boolean;
};

/** Starts the wrapper when there is none of ours on its way, and gives up when it cannot be started. */
function createStarter(dir: string, spec: JobSpec, log: Log): Starter {
  let pending: Started | null = null;
  let starts = 0;
  return {
    isBusy: () => pending !== null && !pending.ended(),
    async start(state) {
      if (pending !== null && !pending.ended()) return;
      // The wrapper ended between two looks: what it left is read once more before it counts as a failed start.
      const now = pending === null ? state : await readJobState(dir);
      if (now.kind === 'running' || now.kind === 'ended') return;
      if (starts >= STARTS_PER_ATTEMPT) throw await cannotStart(dir, spec, now);
      if (now.kind === 'lost') {
        log.warn({ job: spec.id, generation: now.claim.generation }, 'job died without a result, starting it again');
        await endRemains(dir, now.claim);
      }
      starts += 1;
      pending = await startJob(dir, spec, await nextGeneration(dir));
    },
  };
}

async function cannotStart(dir: string, spec: JobSpec, state: JobState): Promise<Error> {
  const tail = (await readLogTail(dir, spec.env)).slice(-3).join(' | ');
  const times = `${String(STARTS_PER_ATTEMPT)} times`;
  return state.kind === 'lost'
    ? stepFailure('JobLost', `job ${spec.id} died without a result ${times} in a row${tail === '' ? '' : `: ${tail}`}`)
    : stepFailure('CommandFailed', `job ${spec.id} could not be started ${times}${tail === '' ? '' : `: ${tail}`}`, {
        hint: `look at ${path.join(dir, 'log')}; the user of the job must be able to write ${dir}`,
      });
}

/**
 * The result goes, the claim stays and reads as "died without a result" from now on. The log is kept.
 * A job that still runs is refused.
 */
async function forgetJob(dir: string): Promise<void> {
  const state = await readJobState(dir);
  if (state.kind === 'running') throw stepFailure('Bug', `job in ${dir} is running and cannot be forgotten`);
  if (state.kind !== 'ended') return;
  await rm(path.join(dir, 'result.json'), { force: true });
  await rm(path.join(dir, 'progress'), { force: true });
  await rename(path.join(dir, 'exit'), path.join(dir, `exit-${String(state.claim.generation)}`));
}

/** The `progress` file, null when there is none or it is being written. */
async function readProgressFile(dir: string): Promise<JobProgress | null> {
  const file = path.join(dir, 'progress');
  if ((await stat(file).catch(() => null)) === null) return null;
  const value: unknown = JSON.parse(await readFile(file, 'utf8'));
  return isProgress(value) ? value : null;
}

function isProgress(value: unknown): value is JobProgress {
  return (
    typeof value === 'object' &&
    value !== null &&
    'done' in value &&
    typeof value.done === 'number' &&
    'total' in value &&
    'unit' in value
  );
}
