/** Progress of the step that runs, with rate and ETA computed from what was seen. Pure. */
import type { RunView, StepProgress, StepView } from '../shared/contracts/status.js';
import type { ActivityProgress, PendingActivity } from './run-client.js';

type Sample = { step: string; atMs: number; done: number };

/** Rates are taken over this long: short enough to follow a stall, long enough to be readable. */
const WINDOW_MS = 15_000;
/** Before that an estimate says hours for what takes seconds. */
const ESTIMATE_AFTER_MS = 2_000;

export type ProgressMeter = { measure(step: StepView, progress: ActivityProgress, now: Date): StepProgress };

/** A meter for repeated looks at one run. With a single sample the rate is the average since the step began. */
export function createProgressMeter(): ProgressMeter {
  let samples: Sample[] = [];
  return {
    measure(step, progress, now) {
      const atMs = now.getTime();
      samples = samples.filter((sample) => sample.step === step.id && sample.done <= progress.done);
      samples.push({ step: step.id, atMs, done: progress.done });
      while (samples.length > 2 && (samples[1]?.atMs ?? atMs) <= atMs - WINDOW_MS) samples.shift();
      const first = samples[0];
      const ratePerSecond =
        first === undefined || atMs - first.atMs < 500
          ? rateBetween(step.startedAt === null ? atMs : Date.parse(step.startedAt), 0, atMs, progress.done)
          : rateBetween(first.atMs, first.done, atMs, progress.done);
      const isEarly = step.startedAt !== null && atMs - Date.parse(step.startedAt) < ESTIMATE_AFTER_MS;
      return toStepProgress(progress, ratePerSecond, isEarly);
    },
  };
}

function rateBetween(fromMs: number, fromDone: number, toMs: number, done: number): number {
  return toMs <= fromMs ? 0 : Math.max(0, ((done - fromDone) * 1000) / (toMs - fromMs));
}

function toStepProgress({ done, total, unit, note }: ActivityProgress, rate: number, isEarly: boolean): StepProgress {
  const left = total === null || isEarly ? null : Math.max(0, total - done);
  return {
    done,
    total: total ?? 0,
    unit,
    ratePerSecond: Math.round(rate),
    etaSeconds: left === null || rate <= 0 ? null : Math.ceil(left / rate),
    ...(note === undefined ? {} : { note }),
  };
}

/** The view with the progress of its pending activity at the step that runs. */
export function withProgress(
  view: RunView,
  pending: readonly PendingActivity[],
  meter: ProgressMeter,
  now: Date,
): RunView {
  const progress = pending.find((activity) => activity.progress !== null)?.progress;
  if (progress === undefined || progress === null) return view;
  const running = view.steps.findIndex(({ status }) => status === 'running');
  if (running === -1) return view;
  return {
    ...view,
    steps: view.steps.map((step, index) =>
      index === running ? { ...step, progress: meter.measure(step, progress, now) } : step,
    ),
  };
}
