/** Inputs of the activities that touch one node. */
import type { EnvironmentFacts } from '../../shared/contracts/environment.js';
import type { NodeStepInput, PlannedNode, StartNodeResult } from '../../shared/contracts/promotion.js';
import { onHost } from './activity-proxies.js';
import { runFailure } from './failures.js';

/** Which run the kept data are named for. An undo uses the run that it undoes. */
export type NodeContext = { environment: string; run: string; runId: string };

/** The node as the plan saw it: an activity that finds another system, directory or host refuses (invariant 2). */
export function nodeInput(context: NodeContext, node: PlannedNode): NodeStepInput {
  const { systemIdentifier, replacement, dataDir, host } = node;
  const other = replacement === undefined ? {} : { replacement };
  return { ...context, node: node.name, expect: { systemIdentifier, ...other, dataDir, host } };
}

/** The node after the change: the cluster that took its place is the one that a step must find now. */
export function replaced({ replacement, ...node }: PlannedNode): PlannedNode {
  return replacement === undefined ? node : { ...node, systemIdentifier: replacement };
}

/** One node after the other, in that order; results by node name. */
export async function eachNode<T>(
  nodes: readonly PlannedNode[],
  work: (node: PlannedNode) => Promise<T>,
): Promise<Record<string, T>> {
  const results: [string, T][] = [];
  for (const node of nodes) results.push([node.name, await work(node)]);
  return Object.fromEntries(results);
}

/** Host of a node that a person named. Throws NotFound with the nodes that there are. */
export function hostOf({ environment, nodes }: EnvironmentFacts, node: string): string {
  const found = nodes.find((one) => one.name === node);
  if (found !== undefined) return found.host;
  const known = nodes.map((one) => one.name).join(', ');
  throw runFailure('NotFound', `environment ${environment} has no node ${node}; it has ${known}`, {
    hint: 'nothing was touched; name one of its nodes',
    next: [`pgr topology ${environment}`],
  });
}

/**
 * Starts a standby that a run stopped. What was down before stays down, and data that are not those of a standby are never started: they could
 * come up as a second primary.
 */
export async function startAgain(
  context: NodeContext,
  node: PlannedNode,
): Promise<StartNodeResult | { outcome: 'left-down' }> {
  if (node.state !== 'running' || node.role !== 'standby') return { outcome: 'left-down' };
  const { environment, run, runId } = context;
  return onHost(node.host).startNode(nodeInput({ environment, run, runId }, node));
}
