/** Short retries of one call to the store, so that a dropped connection does not cost an activity attempt. */
import { setTimeout as sleep } from 'node:timers/promises';

import { kindOfS3Error } from './s3-errors.js';

/** How long a call may be tried again. */
export type Patience = {
  /** Milliseconds after the first failure of a row of failures until the call is given up. */
  totalMs: number;
  /** First pause; doubles up to `longestPauseMs`. */
  firstPauseMs: number;
  longestPauseMs: number;
};

/** Activities: Temporal tries again anyway, so give up soon. */
export const SHORT_PATIENCE: Patience = { totalMs: 4_000, firstPauseMs: 100, longestPauseMs: 1_000 };

/** Jobs that are hours of work: a store that restarts or a network that flaps must not end them. */
export const JOB_PATIENCE: Patience = { totalMs: 180_000, firstPauseMs: 200, longestPauseMs: 5_000 };

/** A row of failures, ended by anything that makes progress. */
export type RetryClock = { next(error: unknown): Promise<void>; progressed(): void };

/** Waits before the next try, or throws the error when it cannot pass or has lasted longer than the patience. */
export function createRetryClock(patience: Patience): RetryClock {
  let since: number | null = null;
  let pauseMs = patience.firstPauseMs;
  return {
    async next(error: unknown): Promise<void> {
      if (kindOfS3Error(error) !== 'passing') throw error;
      since ??= Date.now();
      if (Date.now() - since + pauseMs > patience.totalMs) throw error;
      await sleep(pauseMs);
      pauseMs = Math.min(pauseMs * 2, patience.longestPauseMs);
    },
    progressed(): void {
      since = null;
      pauseMs = patience.firstPauseMs;
    },
  };
}

/** Runs `call` until it answers, fails for good, or the patience ends (then the last error is thrown as it is). */
export async function withRetries<T>(patience: Patience, call: () => Promise<T>): Promise<T> {
  const clock = createRetryClock(patience);
  for (;;) {
    try {
      return await call();
    } catch (error) {
      await clock.next(error);
    }
  }
}
