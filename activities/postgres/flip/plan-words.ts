/** What a plan says in words, and the outage it expects. Pure. */
import type { FlipMode, FlipPlan } from '../../../shared/contracts/flip.js';
import type { FlipNodes } from './choose-nodes.js';
import type { NodeFacts } from './preflight-facts.js';

/**
 * How long writes are expected to wait, in milliseconds: the slow end of what `npm run bench:flip` measured on a disk with ext4 (bench/README.md), because an
 * estimate should be kept. File systems that take long over a flush add to it: 496 ms through the pooler on a pool of zfs-fuse. A failover has no server to stop.
 */
export function outageOf(flip: { failover: boolean; mode: FlipMode; hasPoolers: boolean }): number {
  if (flip.failover) return 250;
  if (flip.mode === 'cut') return flip.hasPoolers ? 150 : 400;
  return flip.hasPoolers ? 200 : 700;
}

type Facts = {
  nodes: FlipNodes;
  asked: { from: NodeFacts | null; to: NodeFacts };
  logicalSlots: FlipPlan['logicalSlots'];
  limits: readonly string[];
  failover: boolean;
  mode: FlipMode;
};

/** What is no reason to refuse, but should be known at the gate. */
export function warningsOf(facts: Facts): string[] {
  const { nodes, asked, logicalSlots, limits, failover, mode } = facts;
  const warnings: string[] = [...limits];
  for (const { name, why } of logicalSlots.filter(({ becomes }) => becomes === 'lost')) {
    warnings.push(`logical slot ${name} will be lost: ${why}`);
  }
  for (const { pid, ageSeconds, database, query } of asked.from?.longTransactions ?? []) {
    warnings.push(`a transaction is open for ${String(ageSeconds)} s (pid ${String(pid)}, ${database}): ${query}`);
  }
  for (const { name } of nodes.others) {
    warnings.push(`${name} follows the new primary only if its primary_conninfo leads there`);
  }
  if (failover) warnings.push(`what ${nodes.from.name} acknowledged and ${nodes.to.name} did not receive is lost`);
  if (mode === 'cut' && !failover) {
    warnings.push(
      `mode cut: a session connected directly to ${nodes.from.name} may lose its last commit; its WAL is searched for such commits afterwards`,
    );
  }
  return warnings;
}
