import type { Runbook } from '../runbook.js';

/** A developer's database is made anew from a dump; no environment is touched by any step, so nobody has to approve. */
export const RESTORE_DEV = {
  name: 'restore-dev',
  title: "Refresh of a developer's database",
  steps: [
    { id: 'check-target', title: "Prove that the server is a developer's, choose the dump", changes: false },
    { id: 'fetch-dump', title: 'Fetch the dump', changes: false },
    { id: 'prepare-target', title: 'Start the server if it is ours and not there', changes: false },
    { id: 'restore-schema', title: 'Make the tables', changes: false },
    { id: 'load-tables', title: 'Load the tables, build indexes and constraints', changes: false },
    { id: 'finish-database', title: 'Run the SQL of the team, refresh views, analyze', changes: false },
    { id: 'swap-in', title: 'Swap it in; the old database is kept as the previous one', changes: false },
    { id: 'prove-keys', title: 'Prove the foreign keys of old rows; the database is usable already', changes: false },
  ],
} as const satisfies Runbook;

export type RestoreDevStep = (typeof RESTORE_DEV.steps)[number]['id'];
