/**
 * The plan of a flip: who hands over to whom, what it will cost, and everything that would make it fail half-way. Changes nothing. A check that fails
 * refuses the plan with all of them named. Throws as {@link chooseNodes}, PreconditionFailed, DatabaseUnavailable.
 */
import type { EnvironmentConfig } from '../../../config/schema.js';
import type { FlipPlan, PlanFlipInput } from '../../../shared/contracts/flip.js';
import type { EvidenceCheck } from '../../../shared/contracts/sandbox.js';
import { flipPlanHashOf } from '../../../shared/plan-hash.js';
import { historyName } from '../../../shared/timeline.js';
import { walDutyOf } from '../../lib/archive-duty.js';
import type { BackupStore } from '../../lib/backup-store.js';
import type { ActivityDeps } from '../../lib/deps.js';
import { environmentOf, nodeNamed } from '../../lib/environment-config.js';
import { stepFailure } from '../../lib/failure.js';
import { pollUntil } from '../../lib/poll.js';
import { connectNode } from '../connection.js';
import { atRiskOf } from './at-risk.js';
import { chooseNodes, flipNode, type FlipNodes } from './choose-nodes.js';
import { logicalSlotFates } from './logical-slots.js';
import { upstreamOf } from './upstream.js';
import { failoverChecks, lagBytesOf, plannedChecks, type WalPath } from './preflight-checks.js';
import { readNodeFacts, type NodeFacts } from './preflight-facts.js';
import { outageOf, warningsOf } from './plan-words.js';

/** History files in a row that are looked for above the current timeline. */
const TIMELINES_AHEAD = 8;
/** A standby that follows is now and then a checkpoint behind for a moment. */
const LAG_PATIENCE_MS = 2_000;

type Body = Omit<FlipPlan, 'hash'>;
type Asked = { from: NodeFacts | null; to: NodeFacts };

export function createPlanFlip(deps: ActivityDeps) {
  return async function planFlip(input: PlanFlipInput): Promise<FlipPlan> {
    const environment = environmentOf(deps.config, input.environment);
    if (input.to !== null) nodeNamed(environment, input.to);
    const nodes = await choose(deps, input);
    const asked = await ask(deps, input, nodes, environment.flip.maxLagBytes);
    const store = await deps.store(input.environment);
    const laterTimelines = await readLaterTimelines(store, asked.to.timeline);
    const wal = { duty: await walDutyOf(store), receiver: store.walReceiver ?? null };
    const checks = [
      ...checksOf(environment, nodes, asked, { laterTimelines, wal }),
      ...input.hostChecks,
      ...cutCheck(input, environment, nodes),
    ];
    requireAll(checks);
    const body = describe(deps, input, environment, nodes, asked, { checks, laterTimelines });
    return { ...body, hash: flipPlanHashOf(body) };
  };
}

/** Only a failover with several silent nodes has to ask the candidate whom it followed. */
async function choose(deps: ActivityDeps, input: PlanFlipInput): Promise<FlipNodes> {
  const silent = input.topology.nodes.filter(({ role }) => role === 'down' || role === 'unknown');
  const standby = input.topology.nodes.find(({ role, name }) => role === 'standby' && (input.to ?? name) === name);
  if (!input.failover || silent.length < 2 || standby === undefined) return chooseNodes(input);
  const facts = await connectNode(deps, input.environment, standby.name, {}, readNodeFacts);
  return chooseNodes(input, upstreamOf(facts.settings['primary_conninfo'] ?? ''));
}

async function ask(deps: ActivityDeps, input: PlanFlipInput, nodes: FlipNodes, maxLagBytes: number): Promise<Asked> {
  const read = (node: string): Promise<NodeFacts> => connectNode(deps, input.environment, node, {}, readNodeFacts);
  const look = async (): Promise<Asked> => {
    const [from, to] = await Promise.all([input.failover ? null : read(nodes.from.name), read(nodes.to.name)]);
    return { from, to };
  };
  let seen = await look();
  await pollUntil(
    async () => {
      const lag = seen.from === null ? 0 : lagBytesOf(seen.from, seen.to);
      if (lag === null || lag <= maxLagBytes) return true;
      seen = await look();
      return null;
    },
    { timeoutMs: LAG_PATIENCE_MS, everyMs: 200 },
  );
  return seen;
}

async function readLaterTimelines(store: BackupStore, timeline: number): Promise<number[]> {
  const ahead = Array.from({ length: TIMELINES_AHEAD }, (_, index) => timeline + 1 + index);
  const answers = await Promise.all(ahead.map((one) => store.walPresence(historyName(one))));
  return ahead.filter((_, index) => answers[index] === 'found');
}

function checksOf(
  environment: EnvironmentConfig,
  nodes: FlipNodes,
  asked: Asked,
  archive: { laterTimelines: number[]; wal: WalPath },
): EvidenceCheck[] {
  const to = { name: nodes.to.name, facts: asked.to };
  const rest = { to, others: nodes.others.length, maxLagBytes: environment.flip.maxLagBytes, ...archive };
  if (asked.from === null) return failoverChecks(rest);
  return plannedChecks({ ...rest, from: { name: nodes.from.name, facts: asked.from } });
}

/** A server that is ended at once looks like a crash to whatever watches it, and would be started again by it. */
function cutCheck(input: PlanFlipInput, environment: EnvironmentConfig, nodes: FlipNodes): EvidenceCheck[] {
  if (input.mode !== 'cut' || input.failover) return [];
  const { kind } = nodeNamed(environment, nodes.from.name).runtime;
  return [{ check: 'mode-cut', expected: 'runtime process', actual: `runtime ${kind}`, ok: kind === 'process' }];
}

function requireAll(checks: readonly EvidenceCheck[]): void {
  const failed = checks.filter(({ ok }) => !ok);
  if (failed.length === 0) return;
  const named = failed.map(({ check, expected, actual }) => `${check}: ${actual} (expected ${expected})`);
  throw stepFailure('PreconditionFailed', `a flip would fail half-way: ${named.join('; ')}`, {
    hint: 'nothing was touched; mend these, then `pgr retry`',
  });
}

function describe(
  deps: ActivityDeps,
  input: PlanFlipInput,
  environment: EnvironmentConfig,
  nodes: FlipNodes,
  asked: Asked,
  found: { checks: EvidenceCheck[]; laterTimelines: number[] },
): Body {
  const row = (node: FlipNodes['from'], facts: NodeFacts | null): FlipPlan['from'] =>
    flipNode(
      node,
      nodeNamed(environment, node.name).dataDir,
      facts?.systemIdentifier ?? asked.to.systemIdentifier,
      facts?.timeline ?? node.timeline ?? asked.to.timeline,
    );
  const routing = deps.routing(input.environment);
  const poolers = deps.poolers(input.environment).map(({ name }) => name);
  const logicalSlots = asked.from === null ? [] : logicalSlotFates(asked.from.slots, asked.to.slots);
  const { failover, mode } = input;
  const facts = { nodes, asked, logicalSlots, limits: routing.limits, failover, mode };
  return {
    environment: input.environment,
    from: row(nodes.from, asked.from),
    to: row(nodes.to, asked.to),
    others: nodes.others.map((node) => row(node, null)),
    failover,
    mode,
    lagBytes: asked.from === null ? null : lagBytesOf(asked.from, asked.to),
    expectedOutageMs: outageOf({ failover, mode, hasPoolers: poolers.length > 0 }),
    routing: routing.label,
    poolers,
    logicalSlots,
    atRisk: failover ? atRiskOf(asked.to, nodes.from) : null,
    laterTimelines: found.laterTimelines,
    checks: found.checks,
    warnings: warningsOf(facts),
  };
}
