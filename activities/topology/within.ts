/** Nobody at 3 a.m. waits for a host that swallows packets. */
import { setTimeout as delay } from 'node:timers/promises';

/** The result of `work`, or `late` when it takes longer; what comes after that is dropped. `work` itself must not fail. */
export async function within<T>(milliseconds: number, work: Promise<T>, late: () => T): Promise<T> {
  const timer = new AbortController();
  const patience = delay(milliseconds, undefined, { signal: timer.signal }).then(late);
  // When the work is done first, the timer ends with an AbortError that nobody is interested in.
  patience.catch(() => undefined);
  try {
    return await Promise.race([work, patience]);
  } finally {
    timer.abort();
  }
}

/** Text of anything that was thrown, for a `why`. */
export function reasonOf(error: unknown): string {
  const message = typeof error === 'object' && error !== null && 'message' in error ? error.message : error;
  return typeof message === 'string' && message !== '' ? message : 'unknown reason';
}
