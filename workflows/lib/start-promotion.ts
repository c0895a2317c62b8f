import { ChildWorkflowFailure } from '@temporalio/common';
import { startChild } from '@temporalio/workflow';

import type { DumpPlan } from '../../shared/contracts/dump.js';
import type { RecoveryPlan } from '../../shared/contracts/plan.js';
import type { PromotionResult } from '../../shared/contracts/promotion.js';
import type { PitrInput, RestoreDumpInput, RunRequest } from '../../shared/contracts/runs.js';
import type { EvidenceCheck, SandboxRef } from '../../shared/contracts/sandbox.js';
import { changeIdFor } from '../../shared/ids.js';
import type { PitrStep } from '../../shared/runbooks/pitr.js';
import type { RestoreDumpStep } from '../../shared/runbooks/restore-dump.js';
import { runSummary } from '../../shared/run-state-details.js';
import { promoteDump } from '../dump-promotion.js';
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
  { input, ref, plan, evidence }: PromotionStart,
  onStart: () => void,
): Promise<Promoted> {
  const decisions = run.view.decisions.filter((one) => one.counted);
  const approved = { gate: 'promote', code: codeOf(run), decisions };
  const args = { ...requestOf(input), fromRun: run.view.run, ref, recovery: plan, evidence, approved };
  const start = () => startChild(promote, { ...optionsOf('promote', input), args: [args] });
  return followChild(run, await startOrBusy(run, input.environment, start), onStart);
}

/** {@link startPromotion} for a restored dump: its gate is in the child, whose plan says what the one of the restore did not. */
export async function startDumpPromotion(
  run: Run<RestoreDumpStep>,
  input: RestoreDumpInput,
  { ref, plan }: { ref: SandboxRef; plan: DumpPlan },
  onStart: () => void,
): Promise<Promoted> {
  const args = { ...requestOf(input), fromRun: run.view.run, ref, dump: plan };
  const start = () => startChild(promoteDump, { ...optionsOf('dump-promotion', input), args: [args] });
  return followChild(run, await startOrBusy(run, input.environment, start), onStart);
}

type Child = { workflowId: string; firstExecutionRunId: string; result(): Promise<PromotionResult> };

async function followChild<Id extends string>(run: Run<Id>, child: Child, onStart: () => void): Promise<Promoted> {
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

function requestOf({ environment, requestedBy, reason, requestedAt }: RunRequest): RunRequest {
  return { environment, requestedBy, reason, requestedAt };
}

function optionsOf(runbook: string, { environment, requestedBy, reason }: RunRequest) {
  return {
    workflowId: changeIdFor(environment),
    // A promotion must not be cut off by whatever happens to this run; an abort of this run aborts it in order.
    parentClosePolicy: 'ABANDON' as const,
    cancellationType: 'WAIT_CANCELLATION_COMPLETED' as const,
    staticSummary: runSummary(runbook, environment, requestedBy),
    // As the command line gives it to the runs that it starts: lists show it.
    memo: { environment, requestedBy, reason },
  };
}

async function startOrBusy<Id extends string, T>(
  run: Run<Id>,
  environment: string,
  start: () => Promise<T>,
): Promise<T> {
  const workflowId = changeIdFor(environment);
  try {
    return await start();
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
function abortWithChild<Id extends string>(run: Run<Id>, error: unknown): void {
  if (!(error instanceof ChildWorkflowFailure)) return;
  const { code, message } = readFailure(error);
  if (code === 'RunAborted') run.attention.requestAbort({ by: 'the change', reason: message });
}
