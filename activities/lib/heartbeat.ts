/** Heartbeats of long activities carry the progress that people watch (`StepProgress`). */
import type { StepProgress } from '../../shared/contracts/status.js';
import { currentActivity, throwIfCancelled } from './cancellation.js';
import type { JobProgress } from './job-runner.js';

/** The SDK throttles heartbeats to about one a second; sending more often only costs. */
const BEAT_MS = 1_000;
/** The rate is that of the last seconds: long enough to be calm, short enough to show a stall. */
const RATE_WINDOW_MS = 10_000;
/** Before that an estimate says hours for what takes seconds: connections have only begun. */
const ESTIMATE_AFTER_SECONDS = 2;

type Sample = { atMs: number; done: number };

/** A sign of life without progress. Throws when the activity is cancelled, for whatever reason; does nothing outside an activity. */
export function heartbeat(details?: unknown): void {
  currentActivity()?.heartbeat(details);
  throwIfCancelled();
}

export type ProgressReporter = {
  /** Heartbeats when a second has passed since the last one; `read` is called only then. */
  beat(read: () => Promise<JobProgress | null>): Promise<void>;
};

/** One reporter per attempt of an activity; does nothing outside an activity. */
export function createProgressReporter(nowMs: () => number = Date.now): ProgressReporter {
  const activity = currentActivity();
  let lastBeatMs = Number.NEGATIVE_INFINITY;
  let samples: Sample[] = [];
  return {
    async beat(read) {
      const atMs = nowMs();
      if (atMs - lastBeatMs < BEAT_MS) return;
      lastBeatMs = atMs;
      // Progress is for the eye: a file that cannot be read just now must not fail the work.
      const progress = await read().catch(() => null);
      if (progress === null) {
        activity?.heartbeat();
        return;
      }
      samples = [...samples, { atMs, done: progress.done }].filter((sample) => atMs - sample.atMs <= RATE_WINDOW_MS);
      activity?.heartbeat(stepProgress(progress, samples));
    },
  };
}

/** Progress with the rate over `samples` (oldest first); the estimate is null at first, while nothing moves, or when the total is unknown. */
export function stepProgress(progress: JobProgress, samples: readonly Sample[]): StepProgress {
  const first = samples[0];
  const last = samples.at(-1);
  const seconds = first && last ? (last.atMs - first.atMs) / 1_000 : 0;
  const moved = first && last ? last.done - first.done : 0;
  const ratePerSecond = seconds > 0 && moved > 0 ? moved / seconds : 0;
  return {
    done: progress.done,
    total: progress.total ?? progress.done,
    unit: progress.unit,
    ratePerSecond: Math.round(ratePerSecond),
    etaSeconds: seconds < ESTIMATE_AFTER_SECONDS ? null : estimate(progress, ratePerSecond),
    ...(progress.note === undefined ? {} : { note: progress.note }),
  };
}

function estimate({ done, total }: JobProgress, ratePerSecond: number): number | null {
  if (total === null || ratePerSecond === 0) return null;
  return Math.ceil(Math.max(0, total - done) / ratePerSecond);
}
