/**
 * Undo of swap-in: the promoted data go aside (`<dataDir>.undone-<8>`), nothing is deleted. It acts only while the kept data exist, because
 * otherwise what stands in the data directory is the old cluster itself. Needs: the server stopped.
 */
import type { NodeStepInput, SwapOutResult } from '../../../shared/contracts/promotion.js';
import type { ActivityDeps } from '../../lib/deps.js';
import { faultPoint } from '../../lib/fault-points.js';
import { directoryState, renameDurably } from '../data-directory.js';
import { NOTHING_TO_KEEP } from './keep-old-data.js';
import { readKeptNote } from './kept-note.js';
import { nodePlace, requireCluster, requireStopped, type NodePlace } from './node-place.js';

export function createSwapOut(deps: ActivityDeps) {
  return async function swapOut(input: NodeStepInput): Promise<SwapOutResult> {
    const place = nodePlace(deps, input);
    if (!(await holdsPromotedData(place))) return nothingThere(place);
    return setAside(place, input.expect.systemIdentifier);
  };
}

/** True when the data directory holds something that this run put there: the old data are kept aside, or there were none. */
async function holdsPromotedData(place: NodePlace): Promise<boolean> {
  const present = await directoryState(place.dataDir);
  if (present === 'missing' || present === 'empty') return false;
  if ((await directoryState(place.keptDataDir)) === 'cluster') return true;
  return (await readKeptNote(place.keptNote))?.clusterState === NOTHING_TO_KEEP;
}

/** Moves the stopped cluster in the data directory aside. */
export async function setAside(place: NodePlace, systemIdentifier: string): Promise<SwapOutResult> {
  await requireStopped(place.dataDir);
  await requireCluster(place.node.binDir, place.dataDir, systemIdentifier);
  faultPoint('swap-out:before-rename');
  await renameDurably(place.dataDir, place.undoneDataDir);
  faultPoint('swap-out:after-rename');
  return { outcome: 'swapped-out', setAsideDir: place.undoneDataDir };
}

async function nothingThere(place: NodePlace): Promise<SwapOutResult> {
  const aside = await directoryState(place.undoneDataDir);
  return { outcome: 'nothing-there', setAsideDir: aside === 'missing' ? null : place.undoneDataDir };
}
