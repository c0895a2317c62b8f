/**
 * Moves a node's data directory aside before another takes its place (invariant 3). Needs: the server stopped, the cluster that the plan
 * named. A retry finds the renamed directory and reports it. Nothing here is ever deleted by the run.
 */
import type { KeepOldDataResult, NodeStepInput } from '../../../shared/contracts/promotion.js';
import type { ActivityDeps } from '../../lib/deps.js';
import { stepFailure } from '../../lib/failure.js';
import { faultPoint } from '../../lib/fault-points.js';
import type { SnapshotProvider } from '../../lib/snapshot.js';
import { NOTHING_TO_KEEP } from '../../lib/kept-note.js';
import { readControlData } from '../control-data.js';
import { directoryState, ownerOf } from '../data-directory.js';
import { readKeptNote, writeKeptNote, type KeptNote } from './kept-note.js';
import { nodePlace, requireCluster, requireStopped, type NodePlace } from './node-place.js';
import path from 'node:path';

export function createKeepOldData(deps: ActivityDeps) {
  return async function keepOldData(input: NodeStepInput): Promise<KeepOldDataResult> {
    const place = nodePlace(deps, input);
    const mover = deps.snapshot(input.environment, input.node);
    await mover.settleMoves();
    if ((await directoryState(place.keptDataDir)) !== 'missing') return alreadyKept(place, input, mover);
    const note = await readKeptNote(place.keptNote);
    if (note?.clusterState === NOTHING_TO_KEEP) return result('already-kept', place, note);
    const present = await directoryState(place.dataDir);
    if (present === 'missing' || present === 'empty') return noteNothing(place, input, mover);
    await requireStopped(place.dataDir);
    const facts = await requireCluster(place.node.binDir, place.dataDir, input.expect.systemIdentifier);
    const planned = noteFor(place, input, mover, facts);
    await writeKeptNote(place.keptNote, planned, await ownerOf(place.dataDir));
    faultPoint('keep-old-data:before-rename');
    await mover.move(place.dataDir, place.keptDataDir);
    faultPoint('keep-old-data:after-rename');
    await requireStopped(place.keptDataDir);
    await requireCluster(place.node.binDir, place.keptDataDir, input.expect.systemIdentifier);
    return result('kept', place, planned);
  };
}

/** The move was done by an earlier attempt. What stands in the old place now (nothing, or the promoted data) is not looked at. */
async function alreadyKept(
  place: NodePlace,
  input: NodeStepInput,
  mover: SnapshotProvider,
): Promise<KeepOldDataResult> {
  const facts = await requireCluster(place.node.binDir, place.keptDataDir, input.expect.systemIdentifier);
  return result('already-kept', place, noteFor(place, input, mover, facts));
}

/**
 * The data directory is gone or empty: the machine is new, or its disk was lost. There is nothing to keep, and no way back; the note says so,
 * so that the steps after this one can tell it from "somebody deleted the kept data".
 */
async function noteNothing(
  place: NodePlace,
  input: NodeStepInput,
  mover: SnapshotProvider,
): Promise<KeepOldDataResult> {
  // A dataset that is not mounted looks like an empty directory.
  const problems = await mover.moveProblems();
  if (problems.length > 0) throw stepFailure('PreconditionFailed', problems.join('; '));
  const elsewhere = await readControlData(place.node.binDir, place.undoneDataDir);
  if (elsewhere !== null) {
    throw stepFailure('SafetyCopyMissing', `${place.dataDir} is gone although ${place.undoneDataDir} is there`);
  }
  const note = noteFor(place, input, mover, { state: NOTHING_TO_KEEP, timeline: 0 });
  await writeKeptNote(place.keptNote, note, await ownerOf(path.dirname(place.dataDir)));
  return result('kept', place, note);
}

function noteFor(
  place: NodePlace,
  input: NodeStepInput,
  mover: SnapshotProvider,
  { state: clusterState, timeline }: { state: string; timeline: number },
): KeptNote {
  return {
    api: 1,
    environment: input.environment,
    node: input.node,
    run: input.run,
    runId: input.runId,
    dataDir: place.dataDir,
    keptDataDir: place.keptDataDir,
    systemIdentifier: input.expect.systemIdentifier,
    clusterState,
    timeline,
    howToReturn: `pgr undo ${input.run}; by hand: stop the server, ${mover.describeMove(place.dataDir, place.undoneDataDir)}, ${mover.describeMove(place.keptDataDir, place.dataDir)}, start it`,
  };
}

function result(outcome: KeepOldDataResult['outcome'], place: NodePlace, note: KeptNote): KeepOldDataResult {
  const { systemIdentifier, clusterState } = note;
  return { outcome, keptDataDir: place.keptDataDir, systemIdentifier, clusterState };
}
