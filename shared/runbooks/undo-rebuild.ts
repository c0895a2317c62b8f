import type { Runbook } from '../runbook.js';

/** Brings back the data that a rebuild replaced, while its safety copy exists. */
export const UNDO_REBUILD = {
  name: 'undo-rebuild',
  title: 'Undo of a rebuilt standby',
  steps: [
    { id: 'check-undo', title: 'Find the safety copy, look at the node, make the plan', changes: false },
    { id: 'approve-undo', title: 'Approval to bring the old data back', changes: false, gate: 'undo' },
    { id: 'stop-standby', title: 'Stop the standby', changes: true, undo: { step: 'start-standby-again' } },
    {
      id: 'return-safety-copy',
      title: 'Put the safety copy back',
      changes: true,
      undo: { none: 'what stood there is set aside and never deleted; a rebuild copies the node anew' },
    },
    {
      id: 'start-standby',
      title: 'Start it when it ran as a standby before',
      changes: true,
      skippable: true,
      undo: { none: 'a standby holds nothing of its own' },
    },
    { id: 'report', title: 'Write the report', changes: false },
  ],
} as const satisfies Runbook;

export type UndoRebuildStep = (typeof UNDO_REBUILD.steps)[number]['id'];
