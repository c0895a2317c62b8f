/** The row type of a runbook table. One table per runbook is the single source of plan, progress, docs and record. */
export type RunbookStep = {
  /** verb-noun; stored in histories and records, never renamed. */
  id: string;
  title: string;
  /** True when the step changes production (not merely a sandbox): it needs an approval above it in the table. */
  changes: boolean;
  /** Name of the gate that this row is; the run waits here. */
  gate?: string;
  /** Id of the undo that reverts the step, or why there is none. */
  undo?: { step: string } | { none: string };
  /** True when `pgr skip` may pass over it: the run's result stays correct without it. */
  skippable?: boolean;
};

export type Runbook = { name: string; title: string; steps: readonly RunbookStep[] };
