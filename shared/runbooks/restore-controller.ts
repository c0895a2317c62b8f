import type { Runbook } from '../runbook.js';

const ADDS = 'it only adds what is missing; the next attempt, or the next run, goes on from it';

/** The controller of the backups is made anew after its host was lost: key first. The database servers keep serving; they are only read. */
export const RESTORE_CONTROLLER = {
  name: 'restore-controller',
  title: 'Restore of the backup controller',
  steps: [
    { id: 'prove-key', title: 'Prove that the escrowed key opens the newest base of the bucket', changes: false },
    { id: 'check-controller', title: 'Look at container, key and controller, make the plan', changes: false },
    { id: 'approve-controller', title: 'Approval to make the controller', changes: false, gate: 'controller' },
    {
      id: 'place-key',
      title: 'Put the escrowed key into the data directory, never over another one',
      changes: true,
      undo: { none: 'without a container nothing reads it; ' + ADDS },
    },
    {
      id: 'start-controller',
      title: 'Create and start the container, wait until it is healthy, prove its key',
      changes: true,
      undo: { none: 'a controller without databases does nothing; ' + ADDS },
    },
    {
      id: 'set-up-users',
      title: 'Set the admin password, make the workspace and its users',
      changes: true,
      undo: { none: ADDS },
    },
    { id: 'add-storage', title: 'Test the bucket and add it as storage', changes: true, undo: { none: ADDS } },
    {
      id: 'add-databases',
      title: 'Add the databases as the config wants them, switch their backups on',
      changes: true,
      undo: { none: ADDS },
    },
    {
      id: 'approve-proof',
      title: 'Approval to prove a restore and to take a full base',
      changes: false,
      gate: 'proof',
    },
    { id: 'prove-restore', title: 'Restore the newest state of the bucket into a sandbox, check it', changes: false },
    { id: 'discard-sandbox', title: 'Discard the sandbox', changes: false },
    {
      id: 'take-base',
      title: 'Take a full base through the new controller',
      changes: true,
      undo: { none: 'it only adds a base to the bucket' },
    },
    { id: 'write-report', title: 'Write the report and what is left for a person', changes: false },
  ],
} as const satisfies Runbook;

export type RestoreControllerStep = (typeof RESTORE_CONTROLLER.steps)[number]['id'];
