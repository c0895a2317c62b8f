/** Rebuilding a standby and looking after safety copies. */
import type { HostActivities } from '../../../shared/contracts/activities.js';
import type { ActivityDeps } from '../../lib/deps.js';
import { createCopyStandby } from './copy-standby.js';
import { createPlanRebuild } from './plan-rebuild.js';
import { createReturnSafetyCopy } from './return-safety-copy.js';
import { createListSafetyCopies, createPruneSafetyCopies } from './safety-copies.js';
import { createStartStandby } from './start-standby.js';
import { createStopStandby } from './stop-standby.js';
import { createTakeSafetyCopy } from './take-safety-copy.js';

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
  return {
    planRebuild: createPlanRebuild(deps),
    stopStandby: createStopStandby(deps),
    takeSafetyCopy: createTakeSafetyCopy(deps),
    copyStandby: createCopyStandby(deps),
    startStandby: createStartStandby(deps),
    returnSafetyCopy: createReturnSafetyCopy(deps),
    listSafetyCopies: createListSafetyCopies(deps),
    pruneSafetyCopies: createPruneSafetyCopies(deps),
  };
}
