/** Waiting for a state of the world: look often at first (1 ms), then every 20 ms, until it is there or the time is up. */
import { setTimeout as delay } from 'node:timers/promises';

import { currentActivity, throwIfCancelled } from './cancellation.js';

export type PollOptions = { timeoutMs: number; everyMs?: number };

const FIRST_PAUSE_MS = 1;
const LONGEST_PAUSE_MS = 20;

/** The first value of `look` that is not null; null when the time is up. Heartbeats meanwhile; throws when the activity is cancelled. */
export async function pollUntil<T>(look: () => Promise<T | null>, options: PollOptions): Promise<T | null> {
  const deadline = Date.now() + options.timeoutMs;
  const longest = options.everyMs ?? LONGEST_PAUSE_MS;
  let pause = Math.min(FIRST_PAUSE_MS, longest);
  for (;;) {
    const seen = await look();
    if (seen !== null) return seen;
    if (Date.now() >= deadline) return null;
    throwIfCancelled();
    currentActivity()?.heartbeat();
    await delay(pause);
    pause = Math.min(pause * 2, longest);
  }
}
