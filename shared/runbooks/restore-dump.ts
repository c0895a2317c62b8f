import type { Runbook } from '../runbook.js';

/** A logical dump becomes a cluster of its own; only `promote` touches production, in a run of its own with its own gate. */
export const RESTORE_DUMP = {
  name: 'restore-dump',
  title: 'Restore of a logical dump',
  steps: [
    { id: 'check-dump', title: 'Read the dump through, make the plan', changes: false },
    { id: 'prepare-cluster', title: 'Make a new cluster in the sandbox', changes: false },
    { id: 'restore-dump', title: 'Restore the dump, analyze', changes: false },
    { id: 'verify-dump', title: 'Check what was restored', changes: false },
    { id: 'approve-hand-over', title: 'Approval to hand the cluster over', changes: false, gate: 'hand-over' },
    { id: 'hand-over', title: 'Stop it cleanly, flush it to disk, say how it becomes production', changes: false },
    {
      id: 'promote',
      title: 'Promote it into production, with a gate of its own',
      changes: true,
      undo: { none: 'the child runbook dump-promotion has an undo of its own for each of its steps' },
    },
  ],
} as const satisfies Runbook;

export type RestoreDumpStep = (typeof RESTORE_DUMP.steps)[number]['id'];
