/** Flip and rebuild as they usually go, for workflow tests. */
import type { HostActivities, OrchestratorActivities } from '../../shared/contracts/activities.js';

type FlipNames = 'readTopology' | 'planFlip' | 'fenceRouting' | 'releaseRouting';
type HostNames =
  | 'checkFlipHost'
  | 'flipWrites'
  | 'fenceOldPrimary'
  | 'backfillArchive'
  | 'rejoinOldPrimary'
  | 'planRebuild'
  | 'stopStandby'
  | 'takeSafetyCopy'
  | 'copyStandby'
  | 'startStandby'
  | 'returnSafetyCopy'
  | 'listSafetyCopies'
  | 'pruneSafetyCopies';

export type FlipActivity = HostNames;

const none = (): Promise<never> => Promise.reject(new Error('no usual answer'));

export function usualFlipOrchestrator(): Pick<OrchestratorActivities, FlipNames> {
  return { readTopology: none, planFlip: none, fenceRouting: none, releaseRouting: none };
}

export function usualFlipHost(): Pick<HostActivities, HostNames> {
  return {
    checkFlipHost: none,
    flipWrites: none,
    fenceOldPrimary: none,
    backfillArchive: none,
    rejoinOldPrimary: none,
    planRebuild: none,
    stopStandby: none,
    takeSafetyCopy: none,
    copyStandby: none,
    startStandby: none,
    returnSafetyCopy: none,
    listSafetyCopies: none,
    pruneSafetyCopies: none,
  };
}
