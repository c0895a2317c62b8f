import { ChildWorkflowFailure } from '@temporalio/common';
import { startChild } from '@temporalio/workflow';

import type { RecoveryPlan } from '../../shared/contracts/plan.js';
import type { PromotionResult } from '../../shared/contracts/promotion.js';
import type { PitrInput } from '../../shared/contracts/runs.js';
import type { EvidenceCheck, SandboxRef } from '../../shared/contracts/sandbox.js';
import { changeIdFor } from '../../shared/ids.js';
import type { PitrStep } from '../../shared/runbooks/pitr.js';
import { runSummary } from '../../shared/run-state-details.js';
import { promote } from '../promote.js';
import { isAlreadyRunning, readFailure, runFailure } from './failures.js';
import type { Run } from './run.js';

export type PromotionStart = { input: PitrInput; ref: SandboxRef; plan: RecoveryPlan; evidence: EvidenceCheck[] };
export type Promoted = { run: string; runId: string; result: PromotionResult };

/**
 * Runs `promote` as a child under the environment's change id, the lock. `onStart` is called once it really runs. Throws
 * EnvironmentBusy when another change holds the id; a child that was aborted aborts this run too.
 */
export async function startPromotion(
  run: Run<PitrStep>,
  start: PromotionStart,
  onStart: () => void,
): Promise<Promoted> {
  const child = await startChildRun(run, start);
  onStart();
  run.view.child = child.workflowId;
  run.publish();
  try {
    const result = await child.result();
    return { run: child.workflowId, runId: child.firstExecutionRunId, result };
  } catch (error) {
    abortWithChild(run, error);
    throw error;
  } finally {
    run.view.child = null;
  }
}

async function startChildRun(run: Run<PitrStep>, { input, ref, plan, evidence }: PromotionStart) {
  const { environment, requestedBy, reason, requestedAt } = input;
  const workflowId = changeIdFor(environment);
  try {
    return await startChild(promote, {
      workflowId,
      args: [
        {
          environment,
          requestedBy,
          reason,
          requestedAt,
          fromRun: run.view.run,
          ref,
          recovery: plan,
          evidence,
          approved: {
            gate: 'promote',
            code: codeOf(run),
            decisions: run.view.decisions.filter((one) => one.counted),
          },
        },
      ],
      // A promotion must not be cut off by whatever happens to this run; an abort of this run aborts it in order.
      parentClosePolicy: 'ABANDON',
      cancellationType: 'WAIT_CANCELLATION_COMPLETED',
      staticSummary: runSummary('promote', environment, requestedBy),
      // As the command line gives it to the runs that it starts: lists show it.
      memo: { environment, requestedBy, reason },
    });
  } catch (error) {
    if (!isAlreadyRunning(error)) throw error;
    throw runFailure('EnvironmentBusy', `environment ${environment} is held by run ${workflowId}`, {
      hint: `wait for \`pgr watch ${workflowId}\` to end, then \`pgr retry ${run.view.run}\``,
      next: [`pgr show ${workflowId}`, `pgr retry ${run.view.run}`],
    });
  }
}

function codeOf(run: Run<PitrStep>): string {
  return run.closedGateCode ?? '';
}

/** Whoever aborted the change has decided: the recovery that asked for it must not ask again. */
function abortWithChild(run: Run<PitrStep>, error: unknown): void {
  if (!(error instanceof ChildWorkflowFailure)) return;
  const { code, message } = readFailure(error);
  if (code === 'RunAborted') run.attention.requestAbort({ by: 'the change', reason: message });
}
