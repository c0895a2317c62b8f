/** Brings back what a finished promotion replaced. What was written since is set aside, not deleted. */
import { workflowInfo } from '@temporalio/workflow';

import type { EnvironmentFacts } from '../shared/contracts/environment.js';
import type { PromotionResult, UndoPlan } from '../shared/contracts/promotion.js';
import type { UndoInput } from '../shared/contracts/runs.js';
import { UNDO, type UndoStep } from '../shared/runbooks/undo.js';
import { undoEvidence, undoPlanView } from '../shared/run-state-plan.js';
import { onHost, orchestrator } from './lib/activity-proxies.js';
import { conductRun, rejected } from './lib/conduct-run.js';
import { policyFor } from './lib/policy.js';
import { Run } from './lib/run.js';
import { putBack } from './lib/undo-change.js';

export async function undo(input: UndoInput): Promise<PromotionResult> {
  const run: Run<UndoStep> = new Run(UNDO, input);
  return conductRun(run, input, async () => {
    const { facts, plan } = await check(run, input);
    const decision = await run.step('approve-undo', () =>
      run.openGate('approve-undo', {
        gate: 'undo',
        planHash: plan.hash,
        evidence: undoEvidence(plan),
        policy: policyFor(facts, 'undo'),
      }),
    );
    if (decision === 'rejected') throw rejected('gate undo was rejected; nothing was changed', null);
    const { promotion } = input;
    const apps = facts.apps.filter((app) => promotion.plan.apps.includes(app.name));
    const measured = await putBack(run, { input, plan, apps, thisRun: workflowInfo().workflowId });
    return run.step('report', () =>
      Promise.resolve({
        ...promotion,
        outcome: 'undone' as const,
        timeline: promotion.plan.primary.timeline,
        rebuilt: [],
        measured,
        lost: { until: plan.lostSince, seconds: 0, commits: 0, exact: false },
      }),
    );
  });
}

async function check(run: Run<UndoStep>, input: UndoInput): Promise<{ facts: EnvironmentFacts; plan: UndoPlan }> {
  const { environment, ofRun, promotion } = input;
  const checked = await run.step('check-undo', async () => {
    const facts = await orchestrator.readEnvironment({ environment });
    // The kept data carry the name of the promote run, not of this one.
    const plan = await onHost(promotion.plan.primary.host).planUndo({
      environment,
      ofRun,
      promotion,
      runId: promotion.runId,
    });
    return { facts, plan };
  });
  run.setPlan(undoPlanView(checked.plan), checked.plan);
  return checked;
}
