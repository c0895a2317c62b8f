/** Whether a recovery stopped where the plan said. Pure. */
import type { StopPoint } from '../../../shared/contracts/plan.js';
import { compareLsn, type Lsn } from '../../../shared/lsn.js';
import type { StopLine } from './server-log.js';

/**
 * What contradicts the plan, null when nothing does. The log names the start of the record at which recovery stopped; the server's position is
 * the end of the last record that was applied: beyond the stop when it is inclusive, not beyond it when it is exclusive.
 */
export function stopProblem(planned: StopPoint, logged: StopLine, replayLsn: Lsn): string | null {
  if (planned.kind === 'immediate') {
    return logged.where === 'consistency'
      ? null
      : `recovery was to stop at the end of the base, it says: ${logged.line}`;
  }
  const wanted = planned.inclusive ? 'after' : 'before';
  if (logged.where !== wanted || logged.lsn === null) {
    return `recovery was to stop ${wanted} ${planned.lsn}, it says: ${logged.line}`;
  }
  if (compareLsn(logged.lsn, planned.lsn) < 0) {
    return `recovery stopped ${wanted} ${logged.lsn}, short of the planned ${planned.lsn}`;
  }
  if (planned.inclusive && compareLsn(replayLsn, planned.lsn) <= 0) {
    return `recovery says that it passed ${planned.lsn}, but has replayed up to ${replayLsn} only`;
  }
  if (!planned.inclusive && compareLsn(replayLsn, logged.lsn) > 0) {
    return `recovery says that it stopped before ${logged.lsn}, but has replayed up to ${replayLsn}`;
  }
  return null;
}
