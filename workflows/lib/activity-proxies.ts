/**
 * Activities by class of work. Every activity of a host heartbeats each second (activities/lib/signs-of-life.ts), so a worker that
 * was killed is noticed by the heartbeat and not by the longest time that its work might take.
 */
import { ActivityFailure, TimeoutFailure, type RetryPolicy } from '@temporalio/common';
import { proxyActivities, type ActivityOptions } from '@temporalio/workflow';

import type { HostActivities, OrchestratorActivities } from '../../shared/contracts/activities.js';
import { taskQueueForHost } from '../../shared/ids.js';
import { runFailure } from './failures.js';

/** Errors of the language itself: the same call will throw them again. */
const BUGS = ['TypeError', 'RangeError', 'ReferenceError', 'SyntaxError'];

/**
 * What passes by itself is tried again for a few minutes, then a person is asked. With these waits (1, 2, 4, 8, 16, 20, 20 … s) an S3
 * server that is down for 30 s is survived; after 12 attempts, about 2.5 minutes of waiting, the run parks. Counted in attempts and not
 * by a total time, because a machine that was off for a day must not find its time used up.
 */
const PATIENT: RetryPolicy = {
  initialInterval: '1 second',
  backoffCoefficient: 2,
  maximumInterval: '20 seconds',
  maximumAttempts: 12,
  nonRetryableErrorTypes: BUGS,
};

/** Three missed seconds are load, ten are a dead worker. */
const HEARTBEAT = '10 seconds';

/** A worker that is restarted is back within seconds; a host that does not answer for this long is called unreachable. */
const HOST_ANSWERS_WITHIN = '30 seconds';

/** A wait without end in practice: the ping lies in the queue until the host's worker is back. */
const HOST_COMES_BACK_WITHIN = '12 hours';

const onHostQueue = (host: string): ActivityOptions => ({
  taskQueue: taskQueueForHost(host),
  scheduleToStartTimeout: HOST_ANSWERS_WITHIN,
  heartbeatTimeout: HEARTBEAT,
  // An abort must not undo a change while its activity is still at it.
  cancellationType: 'WAIT_CANCELLATION_COMPLETED',
  retry: PATIENT,
});

type WorkClass = 'quick' | 'replay' | 'transfer';

const CLASSES: Record<WorkClass, ActivityOptions> = {
  /** Reads of a few files and renames: seconds; one that takes five minutes hangs. */
  quick: { startToCloseTimeout: '5 minutes' },
  /**
   * Work whose time follows the data (replay, crash recovery, checkpoints, reading WAL, flushing a cluster to disk, stopping an application
   * with the limit that its config gives): a day is more than any of them needs.
   */
  replay: { startToCloseTimeout: '24 hours' },
  /** Jobs that move a whole cluster: a multi-terabyte base over a slow line takes days; attempts attach to the job that goes on. */
  transfer: { startToCloseTimeout: '72 hours' },
};

const CLASS_OF: Record<keyof HostActivities, WorkClass> = {
  pingHost: 'quick',
  readWindow: 'replay',
  checkEnvironment: 'replay',
  planRecovery: 'replay',
  prepareSandbox: 'quick',
  restoreBase: 'transfer',
  combineIncrementals: 'transfer',
  replayWal: 'replay',
  verifySandbox: 'replay',
  readSandbox: 'quick',
  discardSandbox: 'replay',
  planDump: 'replay',
  prepareDumpSandbox: 'replay',
  restoreDump: 'transfer',
  verifyDump: 'replay',
  handOverSandbox: 'replay',
  planDevRestore: 'replay',
  fetchDevDump: 'transfer',
  prepareDevTarget: 'replay',
  runDevPhase: 'transfer',
  proveControllerKey: 'quick',
  planController: 'quick',
  placeControllerKey: 'quick',
  startController: 'replay',
  setUpControllerUsers: 'quick',
  addControllerStorage: 'quick',
  addControllerDatabases: 'quick',
  planPromotion: 'quick',
  planDumpPromotion: 'quick',
  stopApp: 'replay',
  startApp: 'replay',
  captureTail: 'replay',
  fenceNode: 'replay',
  startNode: 'replay',
  keepOldData: 'quick',
  returnOldData: 'quick',
  swapIn: 'replay',
  swapInDump: 'replay',
  swapOut: 'quick',
  endRecovery: 'replay',
  rebaseline: 'transfer',
  rebuildStandby: 'transfer',
  finishPromotion: 'replay',
  planUndo: 'quick',
  takeBase: 'transfer',
  checkFlipHost: 'quick',
  flipWrites: 'replay',
  fenceOldPrimary: 'replay',
  releaseOldPrimary: 'quick',
  backfillArchive: 'replay',
  rejoinOldPrimary: 'transfer',
  planRebuild: 'replay',
  stopStandby: 'replay',
  takeSafetyCopy: 'replay',
  copyStandby: 'transfer',
  startStandby: 'replay',
  returnSafetyCopy: 'replay',
  listSafetyCopies: 'quick',
  pruneSafetyCopies: 'replay',
};

type Call = (input: unknown) => Promise<unknown>;

/** The activities of one host. A host whose worker does not take the work in time is HostUnreachable. */
export function onHost(host: string, more: ActivityOptions = {}): HostActivities {
  const proxyOf = (workClass: WorkClass): Record<string, Call> =>
    proxyActivities<Record<string, Call>>({ ...onHostQueue(host), ...CLASSES[workClass], ...more });
  const byClass = { quick: proxyOf('quick'), replay: proxyOf('replay'), transfer: proxyOf('transfer') };
  const activities = Object.entries(CLASS_OF).map(([name, workClass]): [string, Call] => [
    name,
    (input) => called(byClass[workClass], name, input).catch((error: unknown) => unreachable(host, name, error)),
  ]);
  return Object.fromEntries(activities) as unknown as HostActivities;
}

function called(proxy: Record<string, Call>, name: string, input: unknown): Promise<unknown> {
  const call = proxy[name];
  return call === undefined ? Promise.reject(runFailure('Bug', `there is no activity ${name}`)) : call(input);
}

function unreachable(host: string, activity: string, error: unknown): never {
  if (!(error instanceof ActivityFailure) || !(error.cause instanceof TimeoutFailure)) throw error;
  if (error.cause.timeoutType !== 'SCHEDULE_TO_START') throw error;
  throw runFailure('HostUnreachable', `host ${host} does not answer: its worker did not take ${activity}`, {
    hint: `start \`pgr worker --host ${host}\` on that host: the run goes on by itself when it answers`,
    next: [`pgr worker --host ${host}`],
    host,
  });
}

/** For short read workflows that a person waits for: few attempts, quick to say that a host is not there. */
export function interactiveOnHost(host: string): HostActivities {
  return onHost(host, { scheduleToStartTimeout: '10 seconds', retry: { ...PATIENT, maximumAttempts: 3 } });
}

/** Ends when the worker of `host` answers; waits for it as long as the caller's scope lives. */
export function pingOf(host: string): HostActivities {
  return proxyActivities<HostActivities>({
    taskQueue: taskQueueForHost(host),
    scheduleToStartTimeout: HOST_COMES_BACK_WITHIN,
    startToCloseTimeout: '10 seconds',
    retry: { maximumAttempts: 1 },
  });
}

/** Activities that need only the network, on the queue of the workflow itself. */
export const orchestrator = proxyActivities<OrchestratorActivities>({
  startToCloseTimeout: '2 minutes',
  retry: PATIENT,
});

/** The same for a person who waits for the answer. */
export const interactive = proxyActivities<OrchestratorActivities>({
  startToCloseTimeout: '1 minute',
  retry: { ...PATIENT, maximumAttempts: 3 },
});

/**
 * The record is written before and after every step, so it is tried quickly at first and for about 2.5 minutes in all; then the run
 * parks without having made the change.
 */
export const record = proxyActivities<Pick<OrchestratorActivities, 'appendRecord'>>({
  startToCloseTimeout: '20 seconds',
  retry: {
    initialInterval: '500 milliseconds',
    backoffCoefficient: 2,
    maximumInterval: '10 seconds',
    maximumAttempts: 20,
    nonRetryableErrorTypes: BUGS,
  },
});

/**
 * One attempt to send a notice: the workflow that sends decides about the next. The services are given 10 s for each of at most two calls, a
 * secret manager the rest; a worker that dies in it is known of by the end of this time.
 */
export const sender = proxyActivities<Pick<OrchestratorActivities, 'sendNotice'>>({
  startToCloseTimeout: '45 seconds',
  retry: { maximumAttempts: 1 },
});

/** For what waits on nobody and must come through. */
export const patient = proxyActivities<Pick<OrchestratorActivities, 'listChannels'>>({
  startToCloseTimeout: '20 seconds',
  retry: { initialInterval: '1 second', maximumInterval: '1 minute' },
});

/** Notices of runs of an older build: a few tries, then the run goes on without. */
export const courtesy = proxyActivities<Pick<OrchestratorActivities, 'notify'>>({
  startToCloseTimeout: '10 seconds',
  retry: { initialInterval: '1 second', maximumAttempts: 3 },
});
