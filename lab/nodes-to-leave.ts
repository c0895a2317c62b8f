/**
 * Servers that `lab up` must not start: a promotion that is under way has stopped them on purpose, and starting them behind its back would
 * undo the fence. The run starts them itself when it goes on.
 */
import { PROMOTE } from '../shared/runbooks/promote.js';
import { UNDO } from '../shared/runbooks/undo.js';
import type { Runbook } from '../shared/runbook.js';

export type LeftToTheRun = { primary: boolean; standby: boolean };

type Interval = { runbook: Runbook; from: string; primaryUntil: string; standbyUntil: string };

const INTERVALS: readonly Interval[] = [
  { runbook: PROMOTE, from: 'fence-old-cluster', primaryUntil: 'start-primary', standbyUntil: 'rebuild-standby' },
  { runbook: UNDO, from: 'fence-new-cluster', primaryUntil: 'start-primary', standbyUntil: 'start-standbys' },
];

/** Pure: which servers belong to the run that stands at `step`. An unknown step of a known runbook leaves both to it. */
export function leftToTheRun(change: { runbook: string; step: string } | null): LeftToTheRun {
  const interval = INTERVALS.find(({ runbook }) => runbook.name === change?.runbook);
  if (change === null || interval === undefined) return { primary: false, standby: false };
  const position = (id: string): number => interval.runbook.steps.findIndex((step) => step.id === id);
  const at = position(change.step);
  if (at < 0) return { primary: true, standby: true };
  const within = (until: string): boolean => at >= position(interval.from) && at <= position(until);
  return { primary: within(interval.primaryUntil), standby: within(interval.standbyUntil) };
}
