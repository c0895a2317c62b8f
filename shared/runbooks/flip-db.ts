import type { Runbook } from '../runbook.js';

/** Production's writes move to the standby: planned, or as a failover when the primary is gone. */
export const FLIP_DB = {
  name: 'flip-db',
  title: 'Flip of the write address to the standby',
  steps: [
    { id: 'read-topology', title: 'Ask every node, router and pooler', changes: false },
    { id: 'preflight', title: 'Check everything that the flip will need, make the plan', changes: false },
    { id: 'approve-flip', title: 'Approval to flip', changes: false, gate: 'flip' },
    {
      id: 'fence-old-primary',
      title: 'Fence the old primary (failover only)',
      changes: true,
      undo: { step: 'release-old-primary' },
    },
    { id: 'approve-fence', title: 'Statement that the old primary is off', changes: false, gate: 'fence' },
    {
      id: 'flip',
      title: 'Pause clients, fence, stop, prove, promote, route, resume',
      changes: true,
      undo: {
        none: 'killed or failed, it finds out what is true and completes or puts the old primary back by itself',
      },
    },
    {
      id: 'verify-writes',
      title: 'Verify writes through the write address',
      changes: true,
      undo: { none: 'the probe is rolled back' },
    },
    {
      id: 'verify-archive',
      title: 'Archive every segment up to the fork, see the new timeline archive',
      changes: true,
      undo: { none: 'it only adds WAL to the archive' },
    },
    {
      id: 'rejoin-old-primary',
      title: 'Bring the old primary back as a standby',
      changes: true,
      skippable: true,
      undo: { none: 'a standby that was rejoined stays one; `pgr rebuild-standby` copies it anew' },
    },
    { id: 'report', title: 'Write the report', changes: false },
  ],
} as const satisfies Runbook;

export type FlipDbStep = (typeof FLIP_DB.steps)[number]['id'];
