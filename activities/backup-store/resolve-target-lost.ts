/** What a promotion to the boundary would give up of the archived history. Pure. */
import type { Boundary, RecoveryPlan, TransactionPoint } from '../../shared/contracts/plan.js';
import { secondsBetween, type TargetSpec } from '../../shared/target-time.js';
import type { FoundBoundary } from './resolve-target-boundary.js';
import { compareXids } from './waldump-record.js';

/**
 * Commits and seconds from the boundary to `newest`, the last commit of the archive. The count is exact when everything behind the boundary was
 * `read`; else the difference of the transaction ids stands for it, which counts rollbacks and subtransactions too.
 */
export function lostAfter(
  { target }: { target: TargetSpec },
  { kept, dropped }: Boundary,
  newest: TransactionPoint | null,
  read: FoundBoundary | null,
): RecoveryPlan['lost'] {
  const until = newest?.time ?? null;
  if (dropped === null || newest === null) return { commits: 0, exact: true, seconds: 0, until };
  const since = target.kind === 'time' ? target.value : (kept ?? dropped).time;
  const isExact = read?.readToEnd === true;
  return {
    commits: isExact ? read.droppedCount : Math.max(1, compareXids(newest.xid, dropped.xid) + 1),
    exact: isExact,
    seconds: Math.max(0, secondsBetween(since, newest.time)),
    until,
  };
}
