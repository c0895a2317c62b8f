import type { Runbook } from '../runbook.js';

/** Safety copies that nobody will want any more go for good. The newest verified one of a node never does. */
export const PRUNE_SNAPSHOTS = {
  name: 'prune-snapshots',
  title: 'Pruning of safety copies',
  steps: [
    { id: 'list-copies', title: 'Ask every host for its safety copies, choose by age and count', changes: false },
    { id: 'approve-prune', title: 'Approval to remove copies of production data', changes: false, gate: 'prune' },
    {
      id: 'remove-copies',
      title: 'Remove them, host by host',
      changes: true,
      undo: { none: 'they are gone for good: that is what was approved' },
    },
  ],
} as const satisfies Runbook;

export type PruneSnapshotsStep = (typeof PRUNE_SNAPSHOTS.steps)[number]['id'];
