/**
 * Puts kept data back into their place: of a primary that was replaced, or of a standby that was rebuilt. What stands there meanwhile is set
 * aside first (never deleted). Needs: no server on either directory. A retry finds them in their place and reports it.
 */
import type { NodeStepInput, ReturnOldDataResult } from '../../../shared/contracts/promotion.js';
import type { ActivityDeps } from '../../lib/deps.js';
import { stepFailure } from '../../lib/failure.js';
import { faultPoint } from '../../lib/fault-points.js';
import { NOTHING_TO_KEEP } from '../../lib/kept-note.js';
import { directoryState } from '../data-directory.js';
import { readKeptNote, removeKeptNote } from './kept-note.js';
import { nodePlace, requireCluster, requireStopped } from './node-place.js';
import { setAside } from './swap-out.js';

export function createReturnOldData(deps: ActivityDeps) {
  return async function returnOldData(input: NodeStepInput): Promise<ReturnOldDataResult> {
    const place = nodePlace(deps, input);
    const { dataDir, keptDataDir, node } = place;
    const { systemIdentifier } = input.expect;
    const mover = deps.snapshot(input.environment, input.node);
    await mover.settleMoves();
    if ((await directoryState(keptDataDir)) === 'missing') {
      if ((await readKeptNote(place.keptNote))?.clusterState === NOTHING_TO_KEEP) {
        throw stepFailure('SafetyCopyMissing', `there was nothing in ${dataDir} to keep when the run began`, {
          hint: 'the old cluster cannot come back; restore it with `pgr pitr` instead',
        });
      }
      await requireCluster(node.binDir, dataDir, systemIdentifier);
      await removeKeptNote(place.keptNote);
      return { outcome: 'already-there', dataDir };
    }
    await requireStopped(keptDataDir);
    await requireCluster(node.binDir, keptDataDir, systemIdentifier);
    if (!['missing', 'empty'].includes(await directoryState(dataDir))) await setAside(deps, place, input, mover);
    faultPoint('return-old-data:before-rename');
    await mover.move(keptDataDir, dataDir);
    faultPoint('return-old-data:after-rename');
    await requireCluster(node.binDir, dataDir, systemIdentifier);
    await removeKeptNote(place.keptNote);
    return { outcome: 'returned', dataDir };
  };
}
