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
      // Not "it only adds a copy": where nothing better is there, the data themselves are renamed aside.
      undo: { step: 'return-safety-copy' },
    },
    {
      id: 'copy-data',
      title: 'Rewind, or copy from the primary',
      changes: true,
      undo: { none: 'return-safety-copy puts the old data back; what was copied is set aside' },
    },
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
