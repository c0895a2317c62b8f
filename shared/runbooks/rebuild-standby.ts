import type { Runbook } from '../runbook.js';

/** A standby is made anew from the primary; its old data are kept as a safety copy. */
export const REBUILD_STANDBY = {
  name: 'rebuild-standby',
  title: 'Rebuild of a standby',
  steps: [
    { id: 'check-rebuild', title: 'Check node and peer, choose the method, make the plan', changes: false },
    { id: 'approve-wipe', title: 'Approval to replace the data of the standby', changes: false, gate: 'wipe' },
    { id: 'stop-standby', title: 'Stop the standby', changes: true, undo: { step: 'start-standby-again' } },
    {
      id: 'take-safety-copy',
      title: 'Take the safety copy and verify it',
      changes: true,
      undo: { none: 'it only adds a copy' },
    },
    { id: 'copy-data', title: 'Rewind, or copy from the primary', changes: true, undo: { step: 'return-safety-copy' } },
    {
      id: 'start-standby',
      title: 'Start it, wait until it streams',
      changes: true,
      undo: { step: 'stop-new-standby' },
    },
    { id: 'report', title: 'Write the report', changes: false },
  ],
} as const satisfies Runbook;

export type RebuildStandbyStep = (typeof REBUILD_STANDBY.steps)[number]['id'];
