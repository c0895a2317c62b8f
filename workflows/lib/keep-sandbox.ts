import { getExternalWorkflowHandle, startChild } from '@temporalio/workflow';

import { sandboxKeeperIdFor } from '../../shared/ids.js';
import type { SandboxRef } from '../../shared/contracts/sandbox.js';
import { runSummary } from '../../shared/run-state-details.js';
import { sandboxKeeper } from '../sandbox-keeper.js';
import { isAlreadyRunning } from './failures.js';

/** Hands a sandbox to its keeper, which outlives this run and drops it at `expiresAt`. Handing it over twice is once. */
export async function keepSandbox(ref: SandboxRef, expiresAt: string, requestedBy: string): Promise<void> {
  try {
    await startChild(sandboxKeeper, {
      workflowId: sandboxKeeperIdFor(ref.environment, ref.sandbox),
      args: [{ ref, expiresAt, requestedBy }],
      parentClosePolicy: 'ABANDON',
      staticSummary: runSummary(`sandbox ${ref.sandbox}`, ref.environment, requestedBy),
    });
  } catch (error) {
    if (!isAlreadyRunning(error)) throw error;
  }
}

/** Tells the keeper to look: it ends when its sandbox is production now. There may be no keeper. */
export async function tellKeeper(ref: SandboxRef): Promise<void> {
  await getExternalWorkflowHandle(sandboxKeeperIdFor(ref.environment, ref.sandbox))
    .cancel()
    .catch(() => undefined);
}
