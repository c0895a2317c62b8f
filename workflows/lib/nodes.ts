/** Inputs of the activities that touch one node. */
import type { NodeStepInput, PlannedNode } from '../../shared/contracts/promotion.js';

/** Which run the kept data are named for. An undo uses the run that it undoes. */
export type NodeContext = { environment: string; run: string; runId: string };

/** The node as the plan saw it: an activity that finds another system, directory or host refuses (invariant 2). */
export function nodeInput(context: NodeContext, node: PlannedNode): NodeStepInput {
  const { systemIdentifier, dataDir, host } = node;
  return { ...context, node: node.name, expect: { systemIdentifier, dataDir, host } };
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
