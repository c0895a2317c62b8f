/** From the gate to writes on the other node. Between a decision at the gate and the flip itself stands nothing that takes time. */
import type { FlipResult } from '../../shared/contracts/flip.js';
import { onHost } from './activity-proxies.js';
import { rejected } from './conduct-run.js';
import { readFailure } from './failures.js';
import { fenceOldPrimary, type Fenced } from './flip-db-fence.js';
import { readTopology, renewPlan, roleOf, type FlipRun } from './flip-db-plan.js';
import { passOver } from './pass-over.js';
import { policyFor } from './policy.js';
import { refusedAt } from './refusals.js';

/** A plan that is older when people decide is checked again before it is carried out. */
const PLAN_HOLDS_MS = 3 * 60_000;
/** A run that was held up after the decision (a host that was away) does not flip by surprise much later. */
const DECISION_HOLDS_MS = 15 * 60_000;

export type Flipped = { result: FlipResult; fenced: Fenced | null };

/** Steps approve-flip to flip; back to the gate when the plan that was approved is not true any more. */
export async function changeOver(flip: FlipRun): Promise<Flipped> {
  const { failover } = flip.planned.plan;
  // Said before the gate: every entry of the record between the decision and the flip costs time.
  if (!failover) passOverFence(flip);
  for (;;) {
    await approve(flip);
    const fenced = failover ? await fenceOldPrimary(flip) : null;
    const result = await flipWrites(flip, fenced?.proof ?? []);
    if (result.outcome === 'ask-again') {
      const step = flip.run.view.steps.find((one) => one.id === 'flip');
      if (step !== undefined) step.status = 'pending';
      continue;
    }
    // From now on the fence of the old primary is right: it must not become a second one.
    flip.run.undo.forget('release-old-primary');
    return { result, fenced };
  }
}

async function approve(flip: FlipRun): Promise<void> {
  const { run } = flip;
  const decision = await run.step('approve-flip', async (attempt) => {
    // A gate that is opened again shows what is true now.
    if (attempt > 1) await renewPlan(flip);
    for (;;) {
      const { plan, checks } = flip.planned;
      const policy = policyFor(flip.facts, 'flip');
      const decided = await run.openGate('approve-flip', {
        gate: 'flip',
        planHash: plan.hash,
        evidence: checks,
        policy,
      });
      if (decided === 'rejected' || Date.now() - flip.planned.madeAt <= PLAN_HOLDS_MS) return decided;
      if (!(await renewPlan(flip))) return decided;
      run.note('the approval came late and the plan is another one now: it has to be approved again');
    }
  });
  flip.decidedAt = Date.now();
  if (decision === 'rejected') {
    await refusedAt(run, 'flip', () => rejected('gate flip was rejected; nothing was changed', null));
  }
}

function passOverFence({ run }: FlipRun): void {
  passOver(run, 'fence-old-primary', 'the old primary is fenced in the flip itself');
  passOver(run, 'approve-fence', 'the old primary answers and is stopped');
}

async function flipWrites(flip: FlipRun, fenceProof: string[]): Promise<FlipResult | { outcome: 'ask-again' }> {
  let tries = 0;
  let wasUndone = false;
  return flip.run.step('flip', async () => {
    tries += 1;
    if (tries > 1 && (await mustAskAgain(flip, wasUndone))) return { outcome: 'ask-again' as const };
    const { plan } = flip.planned;
    const host = plan.failover ? plan.to.host : plan.from.host;
    try {
      return await onHost(host).flipWrites({ ...flip.ids, plan, fenceProof });
    } catch (error) {
      wasUndone = readFailure(error).code === 'FlipUndone';
      throw error;
    }
  });
}

/**
 * Before another try. While the flip may be half done nothing is asked: the activity finds out what is true and ends it one way or the other. When
 * it is shown not to have begun, or to have been undone, the plan must still hold and the decision must not be old.
 */
async function mustAskAgain(flip: FlipRun, wasUndone: boolean): Promise<boolean> {
  const topology = await readTopology(flip.input.environment, true);
  const { from, to, failover } = flip.planned.plan;
  const untouched = roleOf(topology, to) === 'standby' && (failover || roleOf(topology, from) === 'primary');
  if (!untouched) return false;
  const isOld = Date.now() - flip.planned.madeAt > PLAN_HOLDS_MS;
  const isAnother = (wasUndone || isOld) && (await renewPlan(flip, topology));
  return isAnother || Date.now() - flip.decidedAt > DECISION_HOLDS_MS;
}
