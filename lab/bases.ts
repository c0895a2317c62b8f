/** The first bases of the lab: taken by the worker through the same workflow as every other base. */
import { WorkflowExecutionAlreadyStartedError, type Client } from '@temporalio/client';

import type { TakeBaseRunInput } from '../shared/contracts/runs.js';
import { PgrFailure } from '../shared/pgr-failure.js';
import { ORCHESTRATOR_QUEUE } from '../shared/ids.js';
import { updateState, type LabContext } from './context.js';
import { LAB_ENVIRONMENT } from './paths.js';
import { withTemporal } from './temporal.js';

export type BaseKind = 'full' | 'incremental';

/** 100 MB take seconds; the limit is for a worker that cannot reach something. */
const TIMEOUT_MS = 300_000;

/** Takes the base unless the lab has it. The workflow id is fixed, so an interrupted bring-up finds its own run again. */
export async function takeFirstBase(context: LabContext, kind: BaseKind): Promise<'taken' | 'already-there'> {
  if (context.state.bases[kind] !== undefined) return 'already-there';
  const id = `${LAB_ENVIRONMENT}/take-base/${kind}-1`;
  await withTemporal(context.state, ({ client }) => resultOf(client, id, kind));
  const { bases } = context.state;
  await updateState(context, {
    bases: { ...bases, [kind]: id, finishedAt: bases.finishedAt ?? new Date().toISOString() },
  });
  return 'taken';
}

async function resultOf(client: Client, workflowId: string, kind: BaseKind): Promise<void> {
  const input: TakeBaseRunInput = {
    environment: LAB_ENVIRONMENT,
    requestedBy: 'lab',
    reason: 'first bases of the lab',
    requestedAt: new Date().toISOString(),
    kind,
  };
  try {
    await client.workflow.start('takeBase', {
      workflowId,
      taskQueue: ORCHESTRATOR_QUEUE,
      args: [input],
      workflowIdConflictPolicy: 'USE_EXISTING',
      workflowIdReusePolicy: 'ALLOW_DUPLICATE_FAILED_ONLY',
    });
  } catch (error) {
    // It has completed: only our note of it was lost.
    if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
  }
  await withDeadline(client.workflow.getHandle(workflowId).result(), workflowId);
}

async function withDeadline(result: Promise<unknown>, workflowId: string): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const deadline = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(
        new PgrFailure('CommandFailed', `${workflowId} has not ended after ${TIMEOUT_MS / 1000} s`, {
          hint: `look at it with \`pgr show ${workflowId}\` and at logs/worker.log in the lab, then run \`pgr lab up\` again`,
        }),
      );
    }, TIMEOUT_MS);
  });
  try {
    await Promise.race([result, deadline]);
  } finally {
    clearTimeout(timer);
  }
}
