/** The plan of a flip: topology, plan, what both hosts say of themselves; made again when a decision took long. */
import type { EnvironmentFacts } from '../../shared/contracts/environment.js';
import type { FlipInput, FlipNode, FlipPlan } from '../../shared/contracts/flip.js';
import type { FlipDbInput } from '../../shared/contracts/runs.js';
import type { EvidenceCheck } from '../../shared/contracts/sandbox.js';
import type { Topology } from '../../shared/contracts/topology.js';
import type { FlipDbStep } from '../../shared/runbooks/flip-db.js';
import { flipPlanView } from '../../shared/run-state-change.js';
import { interactiveOnHost, onHost, orchestrator } from './activity-proxies.js';
import { readFailure, runFailure } from './failures.js';
import { requireChecks } from './refusals.js';
import type { Run } from './run.js';

/** `checks` are those of the plan and of both hosts. `madeAt`: milliseconds. */
export type Planned = { plan: FlipPlan; checks: EvidenceCheck[]; madeAt: number };

export type FlipRun = {
  run: Run<FlipDbStep>;
  input: FlipDbInput;
  facts: EnvironmentFacts;
  ids: Pick<FlipInput, 'environment' | 'run' | 'runId'>;
  planned: Planned;
  /** When people approved the plan; milliseconds. */
  decidedAt: number;
};

/** What every node, router and pooler says now. */
export function readTopology(environment: string, probe: boolean): Promise<Topology> {
  return orchestrator.readTopology({ environment, probe });
}

/**
 * Makes the plan and asks both hosts. Throws what stands against the flip: PreconditionFailed with every check that does not hold, or
 * HostUnreachable. In a failover the old host need not answer, and what it says hinders nothing.
 */
export async function makePlan(input: FlipDbInput, topology: Topology): Promise<Planned> {
  const { environment, to, failover, mode } = input;
  const asked = { environment, to, failover, mode, topology };
  // The first answer says which nodes it is about, and refuses at once what cannot be; the second weighs what their hosts say.
  const { from, to: candidate } = await orchestrator.planFlip({ ...asked, hostChecks: [] });
  const [there, old] = await Promise.all([
    interactiveOnHost(candidate.host).checkFlipHost({ environment, node: candidate.name, peer: from.name }),
    failover ? askOldHost(input, from, candidate) : checkOldHost(input, from, candidate),
  ]);
  const hostChecks = failover ? there.checks : [...there.checks, ...old];
  const plan = await orchestrator.planFlip({ ...asked, to: candidate.name, hostChecks });
  const checks = withRows(withRows(plan.checks, hostChecks), failover ? old : []);
  requireChecks(checks, [`pgr topology ${environment}`]);
  return { plan, checks, madeAt: Date.now() };
}

/** The checks of the plan with those that it does not carry itself. */
function withRows(checks: readonly EvidenceCheck[], more: readonly EvidenceCheck[]): EvidenceCheck[] {
  const isSame = (a: EvidenceCheck, b: EvidenceCheck): boolean => a.check === b.check && a.actual === b.actual;
  return [...checks, ...more.filter((row) => !checks.some((one) => isSame(one, row)))];
}

async function checkOldHost({ environment }: FlipDbInput, from: FlipNode, to: FlipNode): Promise<EvidenceCheck[]> {
  try {
    const input = { environment, node: from.name, peer: to.name };
    return (await interactiveOnHost(from.host).checkFlipHost(input)).checks;
  } catch (error) {
    const { code, message } = readFailure(error);
    if (code !== 'HostUnreachable') throw error;
    throw runFailure('HostUnreachable', message, {
      hint: `start its worker; when ${from.name} is gone and must be replaced, that is a failover`,
      next: [`pgr worker --host ${from.host}`, `pgr flip-db ${environment} --to ${to.name} --failover`],
    });
  }
}

/** One try and a short wait: in a failover silence is an answer. */
async function askOldHost({ environment }: FlipDbInput, from: FlipNode, to: FlipNode): Promise<EvidenceCheck[]> {
  const row = (actual: string): EvidenceCheck => ({
    check: `host of ${from.name}`,
    expected: 'asked; it need not answer',
    actual,
    ok: true,
  });
  try {
    await silentHost(from.host).checkFlipHost({ environment, node: from.name, peer: to.name });
    return [row(`${from.host} answers: its server will be stopped`)];
  } catch (error) {
    const { code } = readFailure(error);
    return [row(`${from.host} ${code === 'HostUnreachable' ? 'does not answer' : `answers with ${code}`}`)];
  }
}

/** A host that is probably dead: asked once, for a few seconds. */
export function silentHost(host: string): ReturnType<typeof onHost> {
  return onHost(host, { scheduleToStartTimeout: '5 seconds', retry: { maximumAttempts: 1 } });
}

/** Shows a plan, and puts it into the record. */
export function showPlan(run: Run<FlipDbStep>, { plan, checks }: Planned): void {
  run.view.evidence = checks;
  run.setPlan(flipPlanView(plan), { ...plan, checks });
}

/** Makes the plan anew. True when it is another one, which people have to see before it is carried out. */
export async function renewPlan(flip: FlipRun, topology?: Topology): Promise<boolean> {
  const before = flip.planned.plan.hash;
  flip.planned = await makePlan(flip.input, topology ?? (await readTopology(flip.input.environment, true)));
  showPlan(flip.run, flip.planned);
  return flip.planned.plan.hash !== before;
}

/** The node as the topology shows it. */
export function roleOf(topology: Topology, { name }: Pick<FlipNode, 'name'>): string {
  return topology.nodes.find((node) => node.name === name)?.role ?? 'unknown';
}
