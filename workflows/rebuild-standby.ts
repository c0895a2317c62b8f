/** A standby is made anew from the primary. The safety copy of its data is there before anything of them is touched. */
import { workflowInfo } from '@temporalio/workflow';

import type { EnvironmentFacts } from '../shared/contracts/environment.js';
import type { RebuildPlan, RebuildResult, RebuildStepInput } from '../shared/contracts/rebuild.js';
import type { PlannedRebuild, RebuildStandbyRunInput } from '../shared/contracts/runs.js';
import { rebuildDecisionHashOf } from '../shared/plan-hash.js';
import { REBUILD_STANDBY, type RebuildStandbyStep } from '../shared/runbooks/rebuild-standby.js';
import { rebuildEvidence, rebuildPlanView } from '../shared/run-state-change.js';
import { interactiveOnHost, onHost, orchestrator } from './lib/activity-proxies.js';
import { nowIso, secondsSince } from './lib/clock.js';
import { conductRun, rejected } from './lib/conduct-run.js';
import { hostOf, startAgain } from './lib/nodes.js';
import { policyFor } from './lib/policy.js';
import { CHECK_REFUSALS, requireChecks } from './lib/refusals.js';
import { Run } from './lib/run.js';

type RebuildRun = Run<RebuildStandbyStep>;
type Checked = { facts: EnvironmentFacts; plan: RebuildPlan };

/** A plan that is older when people decide is made again: the node may have caught up, moved on, or become the primary. */
const PLAN_HOLDS_MS = 3 * 60_000;

export async function rebuildStandby(input: RebuildStandbyRunInput): Promise<RebuildResult | PlannedRebuild> {
  const run: RebuildRun = new Run(REBUILD_STANDBY, input, input.node);
  return conductRun(run, input, async () => {
    const { facts, plan: first } = await check(run, input);
    if (input.planOnly === true) return { outcome: 'planned', plan: first };
    const plan = await approve(run, input, facts, first);
    return rebuild(run, input, plan);
  });
}

async function check(run: RebuildRun, input: RebuildStandbyRunInput): Promise<Checked> {
  const { environment } = input;
  const checked = await run.step(
    'check-rebuild',
    async () => {
      const facts = await orchestrator.readEnvironment({ environment });
      return { facts, plan: await makePlan(input, hostOf(facts, input.node)) };
    },
    { refusals: [...CHECK_REFUSALS, 'SnapshotFailed'] },
  );
  show(run, checked.plan);
  return checked;
}

async function makePlan(input: RebuildStandbyRunInput, host: string): Promise<RebuildPlan> {
  const { environment, node, method, rateLimitKbPerSecond } = input;
  const { workflowId, runId } = workflowInfo();
  const asked = { environment, node, run: workflowId, runId, method, rateLimitKbPerSecond };
  const plan = await interactiveOnHost(host).planRebuild(asked);
  requireChecks(plan.checks, [`pgr topology ${environment}`]);
  return plan;
}

function show(run: RebuildRun, plan: RebuildPlan): void {
  run.view.evidence = rebuildEvidence(plan);
  run.setPlan(rebuildPlanView(plan), plan);
}

/** The plan that was approved and still holds. */
async function approve(
  run: RebuildRun,
  input: RebuildStandbyRunInput,
  facts: EnvironmentFacts,
  first: RebuildPlan,
): Promise<RebuildPlan> {
  let plan = first;
  let madeAt = Date.now();
  const renew = async (): Promise<boolean> => {
    const before = rebuildDecisionHashOf(plan);
    plan = await makePlan(input, plan.node.host);
    madeAt = Date.now();
    show(run, plan);
    return rebuildDecisionHashOf(plan) !== before;
  };
  const decision = await run.step('approve-wipe', async (attempt) => {
    if (attempt > 1) await renew();
    for (;;) {
      const request = { gate: 'wipe', planHash: plan.hash, evidence: rebuildEvidence(plan) };
      const decided = await run.openGate('approve-wipe', { ...request, policy: policyFor(facts, 'wipe') });
      if (decided === 'rejected' || Date.now() - madeAt <= PLAN_HOLDS_MS) return decided;
      if (!(await renew())) return decided;
      run.note('the approval came late and the plan is another one now: it has to be approved again');
    }
  });
  if (decision === 'rejected') throw rejected('gate wipe was rejected; nothing was changed', null);
  return plan;
}

async function rebuild(run: RebuildRun, input: RebuildStandbyRunInput, plan: RebuildPlan): Promise<RebuildResult> {
  const { environment } = input;
  const { workflowId, runId } = workflowInfo();
  const host = onHost(plan.node.host);
  const work: RebuildStepInput = { environment, run: workflowId, runId, plan };
  const startedAt = nowIso();
  await run.step('stop-standby', () => host.stopStandby(work), {
    undo: {
      step: 'start-standby-again',
      title: 'Start the standby again',
      work: () => startAgain(work, plan.node),
    },
  });
  const { copy } = await run.step('take-safety-copy', () => host.takeSafetyCopy(work), {
    undo: { step: 'return-safety-copy', title: 'Put the old data back', work: () => host.returnSafetyCopy(work) },
  });
  await run.step('copy-data', () => host.copyStandby(work));
  const started = await run.step('start-standby', () => host.startStandby(work), {
    undo: { step: 'stop-new-standby', title: 'Stop the new standby', work: () => host.stopStandby(work) },
  });
  run.view.evidence = started.checks;
  const measured = { rebuildSeconds: secondsSince(startedAt, nowIso()) };
  Object.assign(run.view.measured, measured);
  return run.step('report', () =>
    Promise.resolve({
      outcome: 'rebuilt' as const,
      run: workflowId,
      runId,
      environment,
      plan,
      safetyCopy: copy,
      measured,
    }),
  );
}
