/** A verified sandbox becomes production. Everything that it replaces is kept aside; an abort at any point brings it back. */
import { workflowInfo } from '@temporalio/workflow';

import type { EnvironmentFacts } from '../shared/contracts/environment.js';
import type { PromotionPlan, PromotionResult } from '../shared/contracts/promotion.js';
import type { PromoteInput } from '../shared/contracts/runs.js';
import type { EvidenceCheck } from '../shared/contracts/sandbox.js';
import { PROMOTE, type PromoteStep } from '../shared/runbooks/promote.js';
import { promotionPlanView } from '../shared/run-state-plan.js';
import { formatTarget } from '../shared/target-time.js';
import { onHost, orchestrator } from './lib/activity-proxies.js';
import { conductRun, rejected } from './lib/conduct-run.js';
import { requireGood } from './lib/evidence.js';
import { policyFor } from './lib/policy.js';
import { replaceProduction } from './lib/promote-change.js';
import { settleProduction } from './lib/promote-settle.js';
import { Run } from './lib/run.js';

type Checked = { facts: EnvironmentFacts; plan: PromotionPlan; evidence: EvidenceCheck[] };

export async function promote(input: PromoteInput): Promise<PromotionResult> {
  const run: Run<PromoteStep> = new Run(PROMOTE, input, formatTarget(input.recovery.target));
  return conductRun(run, input, async () => {
    const { workflowId, runId } = workflowInfo();
    const context = { environment: input.environment, run: workflowId, runId };
    const approved = approvalOfParent(input);
    const checked = await check(run, input, approved === null);
    await approve(run, checked, input, approved !== null);
    const change = { input, context, plan: checked.plan, apps: appsOf(checked), byParent: approved !== null };
    const switched = await replaceProduction(run, change);
    return settleProduction(run, change, switched);
  });
}

/** The approval that came with the input, only when it comes from the run that really started this one. */
function approvalOfParent({ approved, fromRun }: PromoteInput): PromoteInput['approved'] {
  if (approved === null || workflowInfo().parent?.workflowId !== fromRun) return null;
  return approved.decisions.some((one) => one.counted && one.decision === 'approve') ? approved : null;
}

async function check(run: Run<PromoteStep>, input: PromoteInput, readEvidence: boolean): Promise<Checked> {
  const { environment, ref, recovery } = input;
  const { workflowId, runId } = workflowInfo();
  const checked = await run.step('check-promotion', async () => {
    const facts = await orchestrator.readEnvironment({ environment });
    const host = onHost(ref.host);
    const plan = await host.planPromotion({ environment, run: workflowId, runId, ref, plan: recovery });
    if (!readEvidence) return { facts, plan, evidence: input.evidence };
    // Evidence in the input may be days old, or anybody's: what is approved here is what the sandbox shows now.
    const verified = await host.verifySandbox({ ref, plan: recovery });
    run.view.evidence = verified.checks;
    requireGood(run, verified);
    return { facts, plan, evidence: verified.checks };
  });
  run.view.evidence = checked.evidence;
  run.setPlan(promotionPlanView(checked.plan, recovery), checked.plan);
  return checked;
}

async function approve(
  run: Run<PromoteStep>,
  { facts, plan, evidence }: Checked,
  input: PromoteInput,
  byParent: boolean,
): Promise<void> {
  if (input.approved !== null && !byParent) {
    run.note('the approval in the input does not come from the run that it names: it does not count', input.approved);
  }
  const decision = await run.step('approve-promote', () => {
    if (byParent) {
      run.note(`approved in run ${input.fromRun}`, input.approved);
      return Promise.resolve('approved' as const);
    }
    const policy = policyFor(facts, 'promote');
    return run.openGate('approve-promote', { gate: 'promote', planHash: plan.hash, evidence, policy });
  });
  if (decision === 'rejected') throw rejected('gate promote was rejected; nothing was changed', { ref: input.ref });
}

function appsOf({ facts, plan }: Checked): EnvironmentFacts['apps'] {
  return facts.apps.filter((app) => plan.apps.includes(app.name));
}
