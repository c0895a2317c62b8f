import type { Runbook } from '../runbook.js';

/** A verified sandbox becomes production. Everything that it replaces is kept aside until `pgr prune` or `pgr undo`. */
export const PROMOTE = {
  name: 'promote',
  title: 'Promotion of a sandbox into production',
  steps: [
    { id: 'check-promotion', title: 'Check sandbox and production, make the plan', changes: false },
    { id: 'approve-promote', title: 'Approval to promote into production', changes: false, gate: 'promote' },
    { id: 'stop-apps', title: 'Stop the applications', changes: true, undo: { step: 'start-apps' } },
    {
      id: 'capture-tail',
      title: 'Archive the last WAL of the old history',
      changes: true,
      undo: { none: 'it only adds WAL to the archive' },
    },
    { id: 'pause-backups', title: 'Pause backups', changes: true, undo: { step: 'resume-backups' } },
    {
      id: 'fence-old-cluster',
      title: 'Stop the old primary and its standbys',
      changes: true,
      undo: { step: 'start-old-cluster' },
    },
    { id: 'keep-old-data', title: 'Keep the old data aside', changes: true, undo: { step: 'return-old-data' } },
    { id: 'swap-in', title: 'Swap the recovered cluster in', changes: true, undo: { step: 'swap-out' } },
    {
      id: 'end-recovery',
      title: 'End recovery on a new timeline',
      changes: true,
      undo: { none: 'swap-out and return-old-data put the old cluster back; the new timeline is marked abandoned' },
    },
    { id: 'start-primary', title: 'Start the new primary', changes: true, undo: { step: 'stop-new-primary' } },
    {
      id: 'verify-writes',
      title: 'Verify writes through the write address',
      changes: true,
      undo: { none: 'the probe is rolled back' },
    },
    { id: 'start-apps', title: 'Start the applications', changes: true, undo: { step: 'stop-apps' } },
    {
      id: 're-baseline',
      title: 'Take a fresh base and verify the archive',
      changes: true,
      undo: { none: 'it only adds to the store' },
    },
    {
      id: 'rebuild-standby',
      title: 'Rebuild the standbys',
      changes: true,
      skippable: true,
      undo: { step: 'return-standby-data' },
    },
    { id: 'report', title: 'Write the report', changes: false },
  ],
} as const satisfies Runbook;

export type PromoteStep = (typeof PROMOTE.steps)[number]['id'];
