/**
 * Undo of the fence of a failover, on the host of the old primary: its fence marker goes, so that routers may call it primary again once it runs. A marker
 * of another run stays. Nothing is started: whoever knows why the server did not answer starts it. May be repeated.
 */
import type { FenceOldPrimaryInput, ReleaseOldPrimaryResult } from '../../../shared/contracts/flip.js';
import type { ActivityDeps } from '../../lib/deps.js';
import { environmentOf, nodeNamed } from '../../lib/environment-config.js';
import { readFence, removeFence } from '../../lib/fence-file.js';
import { requireThisHost } from '../promotion/node-place.js';

/** Throws FenceFailed when the marker cannot be read or removed. */
export function createReleaseOldPrimary(deps: ActivityDeps) {
  return async function releaseOldPrimary(input: FenceOldPrimaryInput): Promise<ReleaseOldPrimaryResult> {
    const { environment, node, runId } = input;
    requireThisHost(nodeNamed(environmentOf(deps.config, environment), node));
    const { stateDir } = deps.config;
    const fence = await readFence(stateDir, environment, node);
    if (!fence.fenced) return { outcome: 'not-fenced' };
    if (fence.marker.runId !== runId) return { outcome: 'fenced-by-another', run: fence.marker.run };
    await removeFence(stateDir, environment, node);
    return { outcome: 'released' };
  };
}
