/** Rebuilding a standby and looking after safety copies. */
import type { HostActivities } from '../../../shared/contracts/activities.js';
import type { ActivityDeps } from '../../lib/deps.js';
import { notBuilt } from '../../lib/not-built.js';

type Names =
  | 'planRebuild'
  | 'stopStandby'
  | 'takeSafetyCopy'
  | 'copyStandby'
  | 'startStandby'
  | 'returnSafetyCopy'
  | 'listSafetyCopies'
  | 'pruneSafetyCopies';

export function createRebuildActivities(deps: ActivityDeps): Pick<HostActivities, Names> {
  const rebuild = notBuilt('rebuild', deps);
  return {
    planRebuild: rebuild,
    stopStandby: rebuild,
    takeSafetyCopy: rebuild,
    copyStandby: rebuild,
    startStandby: rebuild,
    returnSafetyCopy: rebuild,
    listSafetyCopies: rebuild,
    pruneSafetyCopies: rebuild,
  };
}
