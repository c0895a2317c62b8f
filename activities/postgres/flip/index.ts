/** Moving writes to a standby. */
import type { HostActivities, OrchestratorActivities } from '../../../shared/contracts/activities.js';
import type { ActivityDeps } from '../../lib/deps.js';
import { notBuilt } from '../../lib/not-built.js';

type OnHost = 'checkFlipHost' | 'flipWrites' | 'fenceOldPrimary' | 'backfillArchive' | 'rejoinOldPrimary';

/** Those that need only the network. */
export function createFlipActivities(
  deps: ActivityDeps,
): Pick<OrchestratorActivities, 'planFlip' | 'fenceRouting' | 'releaseRouting'> {
  const flip = notBuilt('flip', deps);
  return { planFlip: flip, fenceRouting: flip, releaseRouting: flip };
}

/** Those of a host. */
export function createFlipHostActivities(deps: ActivityDeps): Pick<HostActivities, OnHost> {
  const flip = notBuilt('flip', deps);
  return {
    checkFlipHost: flip,
    flipWrites: flip,
    fenceOldPrimary: flip,
    backfillArchive: flip,
    rejoinOldPrimary: flip,
  };
}
