/**
 * Why an activity is told to stop. Only a cancellation that somebody asked for ends the work itself; all others (pause, reset, shutdown of the
 * worker, a heartbeat that came too late, a workflow that is gone) mean that this attempt ends and another one may attach to the work.
 */
import { Context } from '@temporalio/activity';
import { setTimeout as delay } from 'node:timers/promises';

export type Cancellation = {
  /** True for a real cancel: end the job and its children. */
  endsWork: boolean;
  /** What the activity throws: the failure that the SDK knows (CancelledFailure with the reason as its message). */
  failure: unknown;
};

/** The activity around this call, null outside of one (programs and tests use the same code). */
export function currentActivity(): Context | null {
  try {
    return Context.current();
  } catch {
    return null;
  }
}

/** The cancellation of the current activity, null while there is none. */
export function readCancellation(activity: Context | null = currentActivity()): Cancellation | null {
  if (activity?.cancellationSignal.aborted !== true) return null;
  const details = activity.cancellationDetails;
  const attemptOnly = details?.paused === true || details?.reset === true || details?.workerShutdown === true;
  return {
    endsWork: details?.cancelRequested === true && !attemptOnly,
    failure: activity.cancellationSignal.reason as unknown,
  };
}

/** Throws the failure of a cancellation, whatever its reason. For work that nothing has to be ended for. */
export function throwIfCancelled(): void {
  const cancellation = readCancellation();
  if (cancellation !== null) throw cancellation.failure;
}

/** Waits, but not longer than until the activity is cancelled; does not throw. */
export async function pauseFor(milliseconds: number, activity: Context | null = currentActivity()): Promise<void> {
  const signal = activity?.cancellationSignal;
  await delay(milliseconds, undefined, signal === undefined ? {} : { signal }).catch(() => undefined);
}
