/** Failover only: the old primary is fenced by every means there is; what no means can prove, a person has to state. */
import type { FenceOldPrimaryInput, FenceOldPrimaryResult, FlipPlan } from '../../shared/contracts/flip.js';
import type { EvidenceCheck } from '../../shared/contracts/sandbox.js';
import { interactive, orchestrator } from './activity-proxies.js';
import { rejected } from './conduct-run.js';
import { readFailure, runFailure } from './failures.js';
import { readTopology, roleOf, silentHost, type FlipRun } from './flip-db-plan.js';
import { passOver } from './pass-over.js';
import { policyFor } from './policy.js';
import { refusedAt } from './refusals.js';

/** `proof` ends with the statement of a person where no means proved it. */
export type Fenced = { proven: boolean; hostAnswers: boolean; proof: string[]; failed: string[] };

/** Steps fence-old-primary and approve-fence. Returns only when the old primary is shown, or stated, to be off (invariant 4). */
export async function fenceOldPrimary(flip: FlipRun): Promise<Fenced> {
  const { run } = flip;
  let hostAnswered = false;
  const work = async (): Promise<Fenced> => {
    const result = await fenceByAllMeans(flip);
    hostAnswered = result.hostAnswers;
    return result;
  };
  const fenced = await run.step('fence-old-primary', work, {
    undo: {
      step: 'release-old-primary',
      title: 'Let the old primary take writes again',
      work: () => releaseOldPrimary(flip, hostAnswered),
    },
  });
  if (fenced.proven) {
    passOver(run, 'approve-fence', `${flip.planned.plan.from.name} is shown to be off`);
    return fenced;
  }
  const decision = await run.step('approve-fence', () =>
    run.openGate('approve-fence', {
      gate: 'fence',
      planHash: flip.planned.plan.hash,
      evidence: fenceEvidence(flip.planned.plan, fenced),
      policy: policyFor(flip.facts, 'fence'),
      statement: fenceStatement(flip.planned.plan),
    }),
  );
  if (decision === 'rejected') {
    await refusedAt(run, 'fence', () => rejected('gate fence was rejected; nothing was promoted', null));
  }
  return { ...fenced, proof: [...fenced.proof, statedBy(flip)] };
}

function statedBy({ run, planned }: FlipRun): string {
  const people = run.view.decisions
    .filter((one) => one.gate === 'fence' && one.counted && one.decision === 'approve')
    .map((one) => `${one.by} (${one.identity})`);
  return `stated at gate fence by ${people.join(', ')}: ${fenceStatement(planned.plan)}`;
}

/** What nobody but a person can know. */
function fenceStatement({ from, to }: FlipPlan): string {
  return (
    `${from.name} on host ${from.host} is off: powered down or cut off from every client, and it stays so. ` +
    `If it still takes writes while ${to.name} is primary, they are lost.`
  );
}

function fenceEvidence({ from }: FlipPlan, { proof, failed }: Fenced): EvidenceCheck[] {
  const row = (check: string, actual: string, ok: boolean): EvidenceCheck => ({
    check,
    expected: 'fenced',
    actual,
    ok,
  });
  return [
    row(`${from.name} is off`, 'not proven by any means', false),
    ...failed.map((text) => row('tried', text, false)),
    ...proof.map((text) => row('done', text, true)),
  ];
}

/** Routers and the host at the same time; neither holds up the other, and what fails is part of the answer. */
async function fenceByAllMeans(flip: FlipRun): Promise<Fenced> {
  const { from } = flip.planned.plan;
  const input = { ...flip.ids, node: from.name };
  const [routing, host] = await Promise.all([
    tried(flip, 'routing', () => interactive.fenceRouting(input)),
    tried(flip, `host ${from.host}`, () => silentHost(from.host).fenceOldPrimary(input)),
  ]);
  return {
    // A router keeps its own clients away; that the server takes no writes, only its host can show.
    proven: host.outcome === 'fenced',
    hostAnswers: host.answers,
    proof: [...host.proof, ...routing.proof],
    failed: [...host.failed, ...routing.failed],
  };
}

async function tried(
  { run }: FlipRun,
  means: string,
  work: () => Promise<FenceOldPrimaryResult>,
): Promise<FenceOldPrimaryResult & { answers: boolean }> {
  try {
    return { ...(await work()), answers: true };
  } catch (error) {
    run.attention.throwIfAborted();
    const { code, message } = readFailure(error);
    const answers = code !== 'HostUnreachable';
    return { outcome: 'not-proven', proof: [], failed: [`${means}: ${code}: ${message}`], answers };
  }
}

/**
 * Undo of the fence. Once the candidate is the primary, letting the old one back would make two: then it stays fenced. What the candidate is must
 * be known for certain. Nothing is started: its server did not answer before the fence, and why is not known here.
 */
async function releaseOldPrimary({ ids, planned, input }: FlipRun, hostAnswered: boolean): Promise<unknown> {
  const { from, to } = planned.plan;
  const role = roleOf(await readTopology(input.environment, false), to);
  if (role === 'primary') return { outcome: 'kept-fenced', why: `${to.name} is the primary now` };
  if (role !== 'standby') {
    throw runFailure('PreconditionFailed', `${to.name} is ${role}: whether it was promoted is not known`, {
      hint: `look at it; ${from.name} may be let back only while ${to.name} is a standby`,
      next: [`pgr topology ${input.environment}`],
    });
  }
  const host = await releaseOnHost(from.host, { ...ids, node: from.name }, hostAnswered);
  return { host, routing: await orchestrator.releaseRouting({ ...ids, node: from.name }) };
}

/** A host that was silent when it was to be fenced has no marker of ours; one that answered then has to answer now. */
async function releaseOnHost(host: string, input: FenceOldPrimaryInput, hostAnswered: boolean): Promise<unknown> {
  try {
    return await silentHost(host).releaseOldPrimary(input);
  } catch (error) {
    if (hostAnswered || readFailure(error).code !== 'HostUnreachable') throw error;
    return { outcome: 'host-silent' };
  }
}
