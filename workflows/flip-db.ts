/** Production's writes move to the standby: planned, or as a failover when the primary is gone. A human decides, always. */
import { workflowInfo } from '@temporalio/workflow';

import type { EnvironmentFacts } from '../shared/contracts/environment.js';
import type { FlipRunResult } from '../shared/contracts/flip.js';
import type { FlipDbInput, PlannedFlip } from '../shared/contracts/runs.js';
import type { Topology } from '../shared/contracts/topology.js';
import { FLIP_DB, type FlipDbStep } from '../shared/runbooks/flip-db.js';
import { orchestrator } from './lib/activity-proxies.js';
import { conductRun } from './lib/conduct-run.js';
import { changeOver } from './lib/flip-db-change.js';
import { makePlan, readTopology, roleOf, showPlan, type FlipRun } from './lib/flip-db-plan.js';
import { settleFlip } from './lib/flip-db-settle.js';
import { CHECK_REFUSALS } from './lib/refusals.js';
import { Run } from './lib/run.js';

export async function flipDb(input: FlipDbInput): Promise<FlipRunResult | PlannedFlip> {
  const run: Run<FlipDbStep> = new Run(FLIP_DB, input, input.to);
  let begun: FlipRun | null = null;
  return conductRun(
    run,
    input,
    async () => {
      const flip = await preflight(run, input);
      if (input.planOnly === true) return { outcome: 'planned', plan: flip.planned.plan };
      begun = flip;
      // A failover is asked for because nobody can write: that is over when writes were seen on the other node.
      if (flip.planned.plan.failover) run.notices.productionDown('the primary does not answer', false);
      return settleFlip(flip, await changeOver(flip));
    },
    async () => {
      if (begun !== null) await tellWhoTakesWrites(begun);
    },
  );
}

async function preflight(run: Run<FlipDbStep>, input: FlipDbInput): Promise<FlipRun> {
  const { environment } = input;
  const { workflowId, runId } = workflowInfo();
  const options = { refusals: CHECK_REFUSALS };
  const read = await run.step(
    'read-topology',
    (): Promise<{ facts: EnvironmentFacts; topology: Topology }> => readAll(environment),
    options,
  );
  const planned = await run.step('preflight', () => makePlan(input, read.topology), options);
  showPlan(run, planned);
  return { run, input, facts: read.facts, ids: { environment, run: workflowId, runId }, planned, decidedAt: 0 };
}

async function readAll(environment: string): Promise<{ facts: EnvironmentFacts; topology: Topology }> {
  const [facts, topology] = await Promise.all([
    orchestrator.readEnvironment({ environment }),
    readTopology(environment, true),
  ]);
  return { facts, topology };
}

/** An abort may come while the flip is at it: whoever reads the run must not have to guess how it ended. */
async function tellWhoTakesWrites({ run, input, planned }: FlipRun): Promise<void> {
  const step = run.view.steps.find((one) => one.id === 'flip');
  if (step === undefined || step.attempts === 0) return;
  try {
    const topology = await readTopology(input.environment, true);
    const { from, to } = planned.plan;
    const actual = topology.writeVip.owner ?? 'nobody';
    const expected = 'one node';
    run.view.evidence = [
      { check: 'write address after the abort', expected, actual, ok: topology.writeVip.probe.ok },
      ...[from, to].map((node) => ({
        check: node.name,
        expected: 'known',
        actual: roleOf(topology, node),
        ok: roleOf(topology, node) !== 'unknown',
      })),
    ];
    run.note(`after the abort: writes go to ${actual}`, run.view.evidence);
  } catch {
    run.note('after the abort: who takes writes could not be found out');
  }
}
