/** A restored dump becomes production: another cluster, with an archive of its own. What it replaces is kept aside; an abort at any point brings it back. */
import { workflowInfo } from '@temporalio/workflow';

import type { EnvironmentFacts } from '../shared/contracts/environment.js';
import type { DumpPromotionPlan, PromotionResult } from '../shared/contracts/promotion.js';
import type { PromoteDumpInput } from '../shared/contracts/runs.js';
import type { EvidenceCheck } from '../shared/contracts/sandbox.js';
import { dumpPromotionEvidence, dumpPromotionPlanView } from '../shared/run-state-dump.js';
import { DUMP_PROMOTION, type DumpPromotionStep } from '../shared/runbooks/dump-promotion.js';
import { onHost, orchestrator } from './lib/activity-proxies.js';
import { conductRun, rejected } from './lib/conduct-run.js';
import { replaceByDump } from './lib/dump-promotion-change.js';
import { settleDump } from './lib/dump-promotion-settle.js';
import { requireGood } from './lib/evidence.js';
import { policyFor } from './lib/policy.js';
import { Run } from './lib/run.js';

type Checked = { facts: EnvironmentFacts; plan: DumpPromotionPlan; evidence: EvidenceCheck[] };

export async function promoteDump(input: PromoteDumpInput): Promise<PromotionResult> {
  const { source } = input.dump;
  const run: Run<DumpPromotionStep> = new Run(DUMP_PROMOTION, input, source.kind === 'file' ? source.path : source.url);
  return conductRun(run, input, async () => {
    const { workflowId, runId } = workflowInfo();
    const { facts, plan, evidence } = await check(run, input);
    const decision = await run.step('approve-promote', () => {
      const policy = policyFor(facts, 'promote');
      return run.openGate('approve-promote', { gate: 'promote', planHash: plan.hash, evidence, policy });
    });
    if (decision === 'rejected') throw rejected('gate promote was rejected; nothing was changed', { ref: input.ref });
    const context = { environment: input.environment, run: workflowId, runId };
    const change = { input, context, plan, apps: facts.apps.filter((app) => plan.apps.includes(app.name)) };
    const writeOutageMs = await replaceByDump(run, change);
    return settleDump(run, change, writeOutageMs);
  });
}

async function check(run: Run<DumpPromotionStep>, input: PromoteDumpInput): Promise<Checked> {
  const { environment, ref, dump } = input;
  const { workflowId, runId } = workflowInfo();
  const checked = await run.step('check-promotion', async () => {
    const facts = await orchestrator.readEnvironment({ environment });
    const host = onHost(ref.host);
    const plan = await host.planDumpPromotion({ environment, run: workflowId, runId, ref, plan: dump });
    const verified = await host.verifyDump({ ref, plan: dump });
    run.view.evidence = verified.checks;
    requireGood(run, verified);
    return { facts, plan, evidence: [...verified.checks, ...dumpPromotionEvidence(plan, dump)] };
  });
  run.view.evidence = checked.evidence;
  run.setPlan(dumpPromotionPlanView(checked.plan, dump), checked.plan);
  return checked;
}
