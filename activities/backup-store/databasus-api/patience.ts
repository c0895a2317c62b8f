/** Trying again while the controller does not answer, with pauses that grow and an end. */
import { setTimeout as sleep } from 'node:timers/promises';

import { isFailureOf } from '../../lib/failure.js';
import type { Patience } from '../s3-retry.js';

/** Activities: Temporal tries again anyway. */
export const SHORT: Patience = { totalMs: 4_000, firstPauseMs: 100, longestPauseMs: 1_000 };

/**
 * Jobs: a controller that restarts, a network that is cut for a minute, and the lock of a download that broke off (5 s) must not end a
 * transfer of hours.
 */
export const LONG: Patience = { totalMs: 180_000, firstPauseMs: 250, longestPauseMs: 5_000 };

/** Runs `call` until it succeeds, fails for good, or has failed for longer than the patience: then the last failure is thrown. */
export async function patiently<T>(patience: Patience, call: () => Promise<T>): Promise<T> {
  const started = Date.now();
  for (let pauseMs = patience.firstPauseMs; ; pauseMs = Math.min(pauseMs * 2, patience.longestPauseMs)) {
    try {
      return await call();
    } catch (error) {
      if (!isFailureOf(error, 'StoreUnavailable') || Date.now() - started + pauseMs > patience.totalMs) throw error;
      await sleep(pauseMs);
    }
  }
}
