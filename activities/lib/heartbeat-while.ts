/** Heartbeats around one long call of which nothing is known meanwhile. */
import { currentActivity } from './cancellation.js';

/** Well below the shortest heartbeat timeout of any activity. */
const BEAT_MS = 5_000;

/** Runs `work`; the activity around it, if there is one, is known to be alive until it ends. */
export async function whileHeartbeating<T>(work: () => Promise<T>): Promise<T> {
  const activity = currentActivity();
  const timer = setInterval(() => activity?.heartbeat(), BEAT_MS);
  try {
    return await work();
  } finally {
    clearInterval(timer);
  }
}
