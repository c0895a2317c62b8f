/** What a dead primary may have acknowledged without the candidate having it. Pure. */
import type { FlipPlan } from '../../../shared/contracts/flip.js';
import type { TopologyNode } from '../../../shared/contracts/topology.js';
import { compareLsn, lsnDistanceBytes, type Lsn } from '../../../shared/lsn.js';
import type { NodeFacts } from './preflight-facts.js';

/**
 * The end of the primary's WAL is known only when somebody saw it (the topology of its last answer); otherwise the age of the last heartbeat or commit
 * that arrived says how long nobody knows anything.
 */
export function atRiskOf(to: NodeFacts, from: Pick<TopologyNode, 'lsn'>): NonNullable<FlipPlan['atRisk']> {
  const lastReceivedLsn = furthest(to.receivedLsn, to.replayLsn);
  const known = from.lsn;
  return {
    lastReceivedLsn,
    lastKnownPrimaryLsn: known,
    bytes: known === null || lastReceivedLsn === null ? null : Math.max(0, lsnDistanceBytes(lastReceivedLsn, known)),
    ageSeconds: youngest(to.heartbeatAgeSeconds, to.lastReplayAgeSeconds),
  };
}

/** The receive position is null when this start of the standby received nothing yet; what it replayed it has. */
function furthest(a: Lsn | null, b: Lsn | null): Lsn | null {
  if (a === null || b === null) return a ?? b;
  return compareLsn(a, b) >= 0 ? a : b;
}

function youngest(a: number | null, b: number | null): number | null {
  if (a === null || b === null) return a ?? b;
  return Math.min(a, b);
}
