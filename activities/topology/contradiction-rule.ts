/** What the rules about contradictions share. Pure. */
import type { Topology, TopologyNode } from '../../shared/contracts/topology.js';

export type Seen = Omit<Topology, 'contradictions' | 'advice'>;
/** What is wrong, with the names, and what to do about it. */
export type Contradiction = { text: string; advice: string };
export type Rule = (seen: Seen) => Contradiction[];

/** Nodes whose server says that it is the primary. */
export function primariesOf({ nodes }: Pick<Seen, 'nodes'>): TopologyNode[] {
  return nodes.filter(({ role }) => role === 'primary');
}

/** `dallas and chicago`, `dallas, chicago and austin`. */
export function listed(names: readonly string[]): string {
  const last = names.at(-1) ?? 'none';
  return names.length < 2 ? last : `${names.slice(0, -1).join(', ')} and ${last}`;
}
