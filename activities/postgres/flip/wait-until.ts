/**
 * Waiting inside the seconds that count: every millisecond, and deaf to cancellation, because a flip that stops half-way because somebody pressed
 * abort is worse than one that ends.
 */
import { setTimeout as delay } from 'node:timers/promises';

/** The first value of `look` that is not null, null when the time is up. A failure of `look` passes. */
export async function waitUntil<T>(look: () => Promise<T | null>, timeoutMs: number, everyMs = 1): Promise<T | null> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const seen = await look();
    if (seen !== null) return seen;
    if (performance.now() >= deadline) return null;
    await delay(everyMs);
  }
}

/** All of them to their end, then the first failure, if any: what still runs while its undo runs would win over it. */
export async function allToTheEnd<T>(works: readonly Promise<T>[]): Promise<T[]> {
  const ended = await Promise.allSettled(works);
  const failed = ended.find((one) => one.status === 'rejected');
  if (failed !== undefined) throw failed.reason;
  return ended.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
}
