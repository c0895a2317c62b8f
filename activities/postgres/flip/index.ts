/** Moving writes to a standby. */
import type { HostActivities, OrchestratorActivities } from '../../../shared/contracts/activities.js';
import type { ActivityDeps } from '../../lib/deps.js';
import { createBackfillArchive } from './backfill-archive.js';
import { createCheckFlipHost } from './check-flip-host.js';
import { createFenceOldPrimary } from './fence-old-primary.js';
import { createFenceRouting, createReleaseRouting } from './fence-routing.js';
import { createFlipWrites } from './flip-writes.js';
import { createPlanFlip } from './plan-flip.js';
import { createRejoinOldPrimary } from './rejoin-old-primary.js';
import { createReleaseOldPrimary } from './release-old-primary.js';

type OnHost =
  'checkFlipHost' | 'flipWrites' | 'fenceOldPrimary' | 'releaseOldPrimary' | 'backfillArchive' | 'rejoinOldPrimary';

/** Those that need only the network. */
export function createFlipActivities(
  deps: ActivityDeps,
): Pick<OrchestratorActivities, 'planFlip' | 'fenceRouting' | 'releaseRouting'> {
  return {
    planFlip: createPlanFlip(deps),
    fenceRouting: createFenceRouting(deps),
    releaseRouting: createReleaseRouting(deps),
  };
}

/** Those of a host. */
export function createFlipHostActivities(deps: ActivityDeps): Pick<HostActivities, OnHost> {
  return {
    checkFlipHost: createCheckFlipHost(deps),
    flipWrites: createFlipWrites(deps),
    fenceOldPrimary: createFenceOldPrimary(deps),
    releaseOldPrimary: createReleaseOldPrimary(deps),
    backfillArchive: createBackfillArchive(deps),
    rejoinOldPrimary: createRejoinOldPrimary(deps),
  };
}
