/** Where the answers of an environment do not fit together, or say that something is wrong. Pure; one small rule for each thing. */
import type { Contradiction, Seen } from './contradiction-rule.js';
import { nodeRules } from './contradictions-nodes.js';
import { routingRules } from './contradictions-routing.js';
import { walRules } from './contradictions-wal.js';

/** Worst first: who takes writes, then the nodes, then routing, then WAL. */
export function contradictionsOf(seen: Seen): Contradiction[] {
  return [...nodeRules, ...routingRules, ...walRules].flatMap((rule) => rule(seen));
}
