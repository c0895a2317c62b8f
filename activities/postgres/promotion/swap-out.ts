/**
 * Undo of swap-in: the promoted data go aside (`<dataDir>.undone-<8>`), nothing is deleted. It acts only while the kept data exist, because
 * otherwise what stands in the data directory is the old cluster itself. Needs: the server stopped.
 */
import type { NodeStepInput, SwapOutResult } from '../../../shared/contracts/promotion.js';
import type { ActivityDeps } from '../../lib/deps.js';
import { faultPoint } from '../../lib/fault-points.js';
import type { SnapshotProvider } from '../../lib/snapshot.js';
import { NOTHING_TO_KEEP } from '../../lib/kept-note.js';
import { readControlData } from '../control-data.js';
import { directoryState } from '../data-directory.js';
import { readKeptNote } from './kept-note.js';
import { nodePlace, replacementOf, requireCluster, requireStopped, type NodePlace } from './node-place.js';
import { cleanUpPrivately, serversOf } from './private-server.js';
import { releaseSandboxes } from './release-sandbox.js';
import { dropStaged } from './stage-sandbox.js';

export function createSwapOut(deps: ActivityDeps) {
  return async function swapOut(input: NodeStepInput): Promise<SwapOutResult> {
    const place = nodePlace(deps, input);
    const mover = deps.snapshot(input.environment, input.node);
    await mover.settleMoves();
    const result = (await holdsPromotedData(place))
      ? await setAside(deps, place, input, mover)
      : await nothingThere(place);
    await dropStaged(deps, place, mover, input.runId);
    await releaseSandboxes(deps, input.environment, place, input.runId);
    return result;
  };
}

/** True when the data directory holds something that this run put there: the old data are kept aside, or there were none. */
async function holdsPromotedData(place: NodePlace): Promise<boolean> {
  const present = await directoryState(place.dataDir);
  if (present === 'missing' || present === 'empty') return false;
  if ((await directoryState(place.keptDataDir)) === 'cluster') return true;
  return (await readKeptNote(place.keptNote))?.clusterState === NOTHING_TO_KEEP;
}

/**
 * Moves the stopped cluster in the data directory aside. The private server of an end-recovery that was given up is stopped first; any other
 * server is a refusal.
 */
export async function setAside(
  deps: Pick<ActivityDeps, 'runtime'>,
  place: NodePlace,
  input: NodeStepInput,
  mover: SnapshotProvider,
): Promise<SwapOutResult> {
  await cleanUpPrivately(serversOf(deps, input), place, input.runId);
  await requireStopped(place.dataDir);
  const { timeline } = await requireCluster(place.node.binDir, place.dataDir, replacementOf(input.expect));
  faultPoint('swap-out:before-rename');
  await mover.move(place.dataDir, place.undoneDataDir);
  faultPoint('swap-out:after-rename');
  return { outcome: 'swapped-out', setAsideDir: place.undoneDataDir, timeline };
}

async function nothingThere(place: NodePlace): Promise<SwapOutResult> {
  const aside = await readControlData(place.node.binDir, place.undoneDataDir);
  if (aside === null) return { outcome: 'nothing-there', setAsideDir: null, timeline: null };
  return { outcome: 'nothing-there', setAsideDir: place.undoneDataDir, timeline: aside.timeline };
}
