/** Stops the standby that is to be rebuilt. A server that accepts writes, or that is the only one left, is not stopped. */
import type { RebuildStepInput, StopStandbyResult } from '../../../shared/contracts/rebuild.js';
import type { ActivityDeps } from '../../lib/deps.js';
import { faultPoint } from '../../lib/fault-points.js';
import { refusePrimary, requirePeer } from './peer.js';
import { rebuildPlace, requirePlannedCluster, requireServerStopped } from './rebuild-place.js';
import { readState } from './rebuild-state.js';

/** A restartpoint of a large standby; sessions are cut at once. */
const STOP_TIMEOUT_MS = 300_000;

export function createStopStandby(deps: ActivityDeps) {
  return async function stopStandby(input: RebuildStepInput): Promise<StopStandbyResult> {
    const { environment, plan } = input;
    const place = rebuildPlace(deps, input);
    const { name: node, systemIdentifier } = plan.node;
    const state = await readState(place);
    if ((await place.runtime.status()).state === 'stopped') {
      return { outcome: 'already-stopped', proof: [await requireServerStopped(place)] };
    }
    await requirePlannedCluster(place);
    await refusePrimary(deps, environment, node);
    // Once its data were replaced, the safety copy is what can be lost; an undo must also be possible when the peer is gone.
    if (state === null) await requirePeer(deps, { environment, node, from: plan.from.name, systemIdentifier });
    const { outcome, proof } = await place.runtime.stop(STOP_TIMEOUT_MS);
    faultPoint('rebuild:stopped');
    return { outcome, proof: [proof, await requireServerStopped(place)] };
  };
}
