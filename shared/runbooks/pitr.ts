import type { Runbook } from '../runbook.js';

/** Point-in-time recovery into a sandbox; production is untouched until the child runbook `promote`. */
export const PITR = {
  name: 'pitr',
  title: 'Point-in-time recovery',
  steps: [
    { id: 'check-target', title: 'Check the target and make the plan', changes: false },
    {
      id: 'approve-store',
      title: 'Approval to take another backup store',
      changes: false,
      gate: 'other-store',
    },
    { id: 'prepare-sandbox', title: 'Prepare the sandbox directory', changes: false },
    { id: 'restore-base', title: 'Fetch the base and the WAL', changes: false },
    { id: 'combine-incrementals', title: 'Combine the base with its incrementals', changes: false },
    { id: 'replay-wal', title: 'Replay WAL to the target', changes: false },
    { id: 'verify-sandbox', title: 'Prove that the target was reached', changes: false },
    { id: 'approve-promote', title: 'Approval to promote into production', changes: false, gate: 'promote' },
    {
      id: 'promote',
      title: 'Promote the sandbox into production',
      changes: true,
      undo: { none: 'the child runbook promote has an undo of its own for each of its steps' },
    },
  ],
} as const satisfies Runbook;

export type PitrStep = (typeof PITR.steps)[number]['id'];
