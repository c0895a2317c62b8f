import type { Runbook } from '../runbook.js';

/** A restored dump becomes production: a new cluster in the place of the old one, of which everything is kept aside. */
export const DUMP_PROMOTION = {
  name: 'dump-promotion',
  title: 'Promotion of a restored dump into production',
  steps: [
    { id: 'check-promotion', title: 'Check dump, archive and old cluster, make the plan', changes: false },
    { id: 'approve-promote', title: 'Approval to promote into production', changes: false, gate: 'promote' },
    { id: 'stop-apps', title: 'Stop the applications', changes: true, undo: { step: 'start-apps' } },
    { id: 'pause-backups', title: 'Pause backups', changes: true, undo: { step: 'resume-backups' } },
    {
      id: 'fence-old-cluster',
      title: 'Stop what is left of the old cluster',
      changes: true,
      undo: { step: 'start-old-cluster' },
    },
    { id: 'keep-old-data', title: 'Keep the old data aside', changes: true, undo: { step: 'return-old-data' } },
    { id: 'swap-in', title: 'Flush the restored cluster, swap it in', changes: true, undo: { step: 'swap-out' } },
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
      title: 'Take the first full base and verify the archive',
      changes: true,
      undo: { none: 'it only adds to the store' },
    },
    {
      id: 'rebuild-standby',
      title: 'Make the standbys anew',
      changes: true,
      skippable: true,
      undo: { step: 'return-standby-data' },
    },
    { id: 'report', title: 'Write the report', changes: false },
  ],
} as const satisfies Runbook;

export type DumpPromotionStep = (typeof DUMP_PROMOTION.steps)[number]['id'];
