/** Who hands over and who takes over, by what the topology says. Pure; everything that makes a flip senseless is refused here. */
import type { FlipNode, PlanFlipInput } from '../../../shared/contracts/flip.js';
import type { Topology, TopologyNode } from '../../../shared/contracts/topology.js';
import { compareLsn } from '../../../shared/lsn.js';
import { stepFailure } from '../../lib/failure.js';

export type FlipNodes = { from: TopologyNode; to: TopologyNode; others: TopologyNode[] };

type Request = Pick<PlanFlipInput, 'to' | 'failover' | 'topology'>;

/**
 * The two nodes of a flip. Throws NotFound for a name that is no node, IdentityMismatch for a standby of another system, PreconditionFailed for
 * everything else that forbids it: two primaries, none, a flip to the primary, no standby, a failover while the primary answers.
 * @param upstream address `host:port` that the candidate followed, for a failover with several nodes that do not answer
 */
export function chooseNodes(request: Request, upstream: string | null = null): FlipNodes {
  const { topology, failover } = request;
  const named = request.to === null ? null : nodeNamed(topology, request.to);
  const primary = onlyPrimary(topology, failover);
  if (named !== null && named === primary) throw refusal(`${named.name} is the primary already`, 'run `pgr topology`');
  const to = named ?? bestStandby(topology, failover);
  requireStandby(to);
  const from = primary ?? deadPrimary(topology, to, upstream);
  requireSameSystem(from, to);
  const others = topology.nodes.filter((node) => node !== from && node !== to);
  return { from, to, others };
}

/** The primary of a planned flip; null for a failover, which must not have one. */
function onlyPrimary(topology: Topology, failover: boolean): TopologyNode | null {
  const primaries = topology.nodes.filter(({ role }) => role === 'primary');
  const [primary = null] = primaries;
  if (primaries.length > 1) {
    const names = primaries.map(({ name }) => name).join(' and ');
    throw refusal(`${names} both accept writes`, 'stop the one that is not production first');
  }
  if (failover && primary !== null) {
    throw refusal(
      `${primary.name} answers and accepts writes: a failover would give up what it has`,
      'run `pgr flip-db` without --failover',
    );
  }
  if (failover || primary !== null) return primary;
  throw refusal('no primary answers', 'bring it back, or move the writes without it: `pgr flip-db --failover`');
}

/** The row of a plan. */
export function flipNode(node: TopologyNode, dataDir: string, systemIdentifier: string, timeline: number): FlipNode {
  const role = node.role === 'primary' || node.role === 'standby' ? node.role : 'down';
  return { name: node.name, host: node.host, dataDir, role, systemIdentifier, timeline };
}

function nodeNamed(topology: Topology, name: string): TopologyNode {
  const found = topology.nodes.find((node) => node.name === name);
  if (found !== undefined) return found;
  const known = topology.nodes.map((node) => node.name).join(', ');
  throw stepFailure('NotFound', `there is no node "${name}" in ${topology.environment}`, {
    hint: `its nodes are: ${known}`,
  });
}

/** Planned: the one that is closest behind. Failover: the one that received most. */
function bestStandby(topology: Topology, failover: boolean): TopologyNode {
  const standbys = topology.nodes.filter(({ role }) => role === 'standby');
  const [best] = standbys.sort(failover ? byReceived : byLag);
  if (best !== undefined) return best;
  throw refusal(
    'no standby answers',
    'run `pgr topology`; a standby that is gone is made anew by `pgr rebuild-standby`',
  );
}

function byLag(a: TopologyNode, b: TopologyNode): number {
  return (a.lagBytes ?? Number.MAX_SAFE_INTEGER) - (b.lagBytes ?? Number.MAX_SAFE_INTEGER);
}

function byReceived(a: TopologyNode, b: TopologyNode): number {
  const [left, right] = [a.receiveLsn ?? a.replayLsn, b.receiveLsn ?? b.replayLsn];
  if (left === null || right === null) return Number(left === null) - Number(right === null);
  return compareLsn(right, left);
}

function requireStandby(node: TopologyNode): void {
  if (node.role === 'standby') return;
  throw refusal(`${node.name} is no standby that answers: ${node.why ?? node.role}`, 'run `pgr topology`');
}

/** The node that was primary: the only one that does not answer, or the one that the candidate followed. */
function deadPrimary(topology: Topology, to: TopologyNode, upstream: string | null): TopologyNode {
  const silent = topology.nodes.filter((node) => node !== to && node.role !== 'standby');
  const followed = silent.find((node) => `${node.address}:${String(node.port)}` === upstream);
  const only = silent.length === 1 ? silent[0] : undefined;
  const found = followed ?? only;
  if (found !== undefined) return found;
  if (silent.length === 0)
    throw refusal('every node answers as a standby: there is no dead primary', 'run `pgr topology`');
  const names = silent.map(({ name }) => name).join(', ');
  throw refusal(
    `several nodes do not answer (${names}), and ${to.name} does not say which one it followed`,
    'bring the others to answer first',
  );
}

function requireSameSystem(from: TopologyNode, to: TopologyNode): void {
  if (from.systemIdentifier === null || from.systemIdentifier === to.systemIdentifier) return;
  throw stepFailure(
    'IdentityMismatch',
    `${to.name} is a standby of another system (${to.systemIdentifier ?? 'unknown'}); ${from.name} is ${from.systemIdentifier}`,
    { hint: 'nothing was touched; copy it anew: `pgr rebuild-standby`' },
  );
}

function refusal(message: string, hint: string): Error {
  return stepFailure('PreconditionFailed', message, { hint });
}
