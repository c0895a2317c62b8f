import type { Runbook } from '../runbook.js';

/** Brings back what a finished promote replaced, while its kept data exist. */
export const UNDO = {
  name: 'undo',
  title: 'Undo of a finished promotion',
  steps: [
    { id: 'check-undo', title: 'Check the kept data and make the plan', changes: false },
    { id: 'approve-undo', title: 'Approval to bring the old cluster back', changes: false, gate: 'undo' },
    { id: 'stop-apps', title: 'Stop the applications', changes: true, undo: { step: 'start-apps' } },
    {
      id: 'fence-new-cluster',
      title: 'Stop the promoted cluster and its standbys',
      changes: true,
      undo: { step: 'start-new-cluster' },
    },
    { id: 'swap-out', title: 'Set the promoted data aside', changes: true, undo: { step: 'swap-in' } },
    { id: 'return-old-data', title: 'Put the old data back', changes: true, undo: { step: 'keep-old-data' } },
    {
      id: 'abandon-timeline',
      title: 'Mark the promoted timeline as abandoned',
      changes: true,
      undo: { none: 'the mark is removed when the undo itself is undone by hand; it deletes nothing' },
    },
    {
      id: 'start-primary',
      title: 'Start the old primary',
      changes: true,
      undo: { none: 'the old cluster is where it was; fence-new-cluster is its counterpart' },
    },
    {
      id: 'start-standbys',
      title: 'Start the old standbys',
      changes: true,
      skippable: true,
      undo: { none: 'a standby holds nothing of its own' },
    },
    {
      id: 'verify-writes',
      title: 'Verify writes through the write address',
      changes: true,
      undo: { none: 'the probe is rolled back' },
    },
    { id: 'start-apps', title: 'Start the applications', changes: true, undo: { step: 'stop-apps' } },
    { id: 'report', title: 'Write the report', changes: false },
  ],
} as const satisfies Runbook;

export type UndoStep = (typeof UNDO.steps)[number]['id'];
