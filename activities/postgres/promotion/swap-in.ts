/**
 * Moves the recovered cluster of a sandbox into the place of production's data directory. Everything is prepared in the sandbox (clean stop,
 * configuration, WAL, flush to disk); the one move at the end is the moment of the change. Where data directories are datasets or subvolumes and
 * the sandbox is none, its files are copied into a new one first (stage-sandbox.ts). Killed anywhere, the next attempt decides by what is on disk.
 * Needs: the old data kept aside, no server in either place.
 */
import path from 'node:path';

import type { SwapInInput, SwapInResult } from '../../../shared/contracts/promotion.js';
import type { ActivityDeps } from '../../lib/deps.js';
import { stepFailure } from '../../lib/failure.js';
import { faultPoint } from '../../lib/fault-points.js';
import { directoryState, ownerOf, type Owner } from '../data-directory.js';
import { requireMarker, writeMarker } from '../sandbox/marker.js';
import { placeOf, type SandboxPlace } from '../sandbox/place.js';
import type { SnapshotProvider } from '../../lib/snapshot.js';
import { NOTHING_TO_KEEP } from '../../lib/kept-note.js';
import { readKeptNote } from './kept-note.js';
import { nodePlace, replacementOf, requireCluster, requireStopped, type NodePlace } from './node-place.js';
import { copySettings, requireArchiving, requireNoTarget, stripRecoverySettings } from './production-settings.js';
import { signalRecovery } from './recovery-signal.js';
import { flush, stage, stagedBefore } from './stage-sandbox.js';
import { stopSandbox } from './stop-sandbox.js';
import { bringWal, historiesIn, requireKnownTimelines } from './wal-for-promotion.js';

/** What is prepared: the cluster in the sandbox, whose owner is `owner`; `kept` are the old data, null when there were none. */
export type Arriving = { place: NodePlace; sandbox: SandboxPlace; kept: string | null; owner: Owner };

/** Stops the sandbox and makes production's settings of its own; returns the names of what was taken out of them. Repeatable. */
export type Prepare<Input extends SwapInInput> = (
  deps: ActivityDeps,
  input: Input,
  arriving: Arriving,
) => Promise<string[]>;

export function createSwapIn(deps: ActivityDeps) {
  return async function swapIn(input: SwapInInput): Promise<SwapInResult> {
    return swapInWith(deps, input, prepareRecovered);
  };
}

/** {@link createSwapIn} for any kind of sandbox; `prepare` is called only while its cluster still stands in the sandbox. */
export async function swapInWith<Input extends SwapInInput>(
  deps: ActivityDeps,
  input: Input,
  prepare: Prepare<Input>,
): Promise<SwapInResult> {
  const place = nodePlace(deps, input);
  const sandbox = placeOf(deps.config, input.ref);
  const mover = deps.snapshot(input.environment, input.node);
  await mover.settleMoves();
  const kept = await requireKept(place, input.expect.systemIdentifier);
  if (await isInPlace(place, sandbox)) return alreadyThere(place, input, kept);
  const ready = (await stagedBefore(place, sandbox)) ?? (await undoneBefore(place, sandbox));
  if (ready !== null) {
    await moveIn(place, ready, input, mover);
    return alreadyThere(place, input, kept, 'swapped');
  }
  const inPlace = await mover.isMovable(sandbox.dataDir);
  if (!inPlace) requireRooms(place, sandbox, mover);
  await requireCluster(place.node.binDir, sandbox.dataDir, replacementOf(input.expect));
  const owner = await ownerOf(sandbox.dataDir);
  await requireOwner(sandbox, kept, owner);
  const stripped = await prepare(deps, input, { place, sandbox, kept, owner });
  // What is copied is flushed where it was copied to.
  if (inPlace) {
    await flush(place.node.binDir, sandbox.dataDir, owner);
    await markSynced(sandbox);
  }
  await moveIn(place, inPlace ? sandbox.dataDir : await stage(deps, input, place, sandbox, mover), input, mover);
  return { outcome: 'swapped', dataDir: place.dataDir, settingsFrom: kept ?? 'base', stripped };
}

/** The kept data (null when there was nothing to keep). Throws SafetyCopyMissing when they are neither there nor known to be nothing. */
async function requireKept(place: NodePlace, systemIdentifier: string): Promise<string | null> {
  if ((await directoryState(place.keptDataDir)) === 'cluster') {
    await requireStopped(place.keptDataDir);
    await requireCluster(place.node.binDir, place.keptDataDir, systemIdentifier);
    return place.keptDataDir;
  }
  const note = await readKeptNote(place.keptNote);
  if (note?.clusterState === NOTHING_TO_KEEP) return null;
  throw stepFailure('SafetyCopyMissing', `the kept data ${place.keptDataDir} are not there`);
}

/** Three places, one cluster: it stands in the sandbox or in the data directory. Throws PreconditionFailed when in both or nowhere. */
async function isInPlace(place: NodePlace, sandbox: SandboxPlace): Promise<boolean> {
  const inSandbox = (await directoryState(sandbox.dataDir)) === 'cluster';
  const inPlace = await directoryState(place.dataDir);
  if (inPlace === 'cluster' && !inSandbox) return true;
  if (inPlace === 'missing' || inPlace === 'empty') return false;
  const what = inSandbox ? `and the sandbox still has its data in ${sandbox.dataDir}` : `and no cluster`;
  throw stepFailure('PreconditionFailed', `${place.dataDir} is not free: it holds files ${what}`, {
    hint: 'nothing was touched; find out who wrote there, move it away, then `pgr retry`',
  });
}

async function alreadyThere(
  place: NodePlace,
  input: SwapInInput,
  kept: string | null,
  outcome: SwapInResult['outcome'] = 'already-swapped',
): Promise<SwapInResult> {
  await requireCluster(place.node.binDir, place.dataDir, replacementOf(input.expect));
  return { outcome, dataDir: place.dataDir, settingsFrom: kept ?? 'base', stripped: [] };
}

/** When an undo is taken back: the promoted data were set aside and come back as they are. */
async function undoneBefore(place: NodePlace, sandbox: SandboxPlace): Promise<string | null> {
  if ((await directoryState(sandbox.dataDir)) === 'cluster') return null;
  return (await directoryState(place.undoneDataDir)) === 'cluster' ? place.undoneDataDir : null;
}

async function prepareRecovered(
  deps: ActivityDeps,
  input: SwapInInput,
  { place, sandbox, kept, owner }: Arriving,
): Promise<string[]> {
  const facts = await stopSandbox(deps, place, sandbox, input);
  faultPoint('swap-in:after-stop');
  if (kept !== null) await copySettings(kept, sandbox.dataDir, owner);
  const stripped = await stripRecoverySettings(sandbox.dataDir, owner);
  await signalRecovery(sandbox.dataDir, owner);
  faultPoint('swap-in:after-settings');
  const sources = [sandbox.walDir, ...(kept === null ? [] : [path.join(kept, 'pg_wal')])];
  await bringWal(sandbox.dataDir, facts, sources, owner);
  const store = await deps.store(input.environment);
  await requireKnownTimelines(store, await historiesIn([path.join(sandbox.dataDir, 'pg_wal')]));
  const { servers } = deps.runtime(input.environment, input.node);
  await requireNoTarget(servers, sandbox.dataDir, owner);
  await requireArchiving(servers, sandbox.dataDir, owner, store);
  return stripped;
}

/** Directories are renamed and nothing else; the plan has said so, but disks are mounted and unmounted. */
function requireRooms(place: NodePlace, sandbox: SandboxPlace, mover: SnapshotProvider): void {
  if (mover.kind !== 'directory') return;
  throw stepFailure(
    'PreconditionFailed',
    `${sandbox.dataDir} is not in the file system of ${place.dataDir}: it cannot be renamed into place`,
  );
}

async function requireOwner(sandbox: SandboxPlace, kept: string | null, owner: Owner): Promise<void> {
  if (kept === null) return;
  const wanted = await ownerOf(kept);
  if (wanted.uid === owner.uid && wanted.gid === owner.gid) return;
  throw stepFailure(
    'PreconditionFailed',
    `${sandbox.dataDir} belongs to uid ${String(owner.uid)}, production's data to uid ${String(wanted.uid)}`,
  );
}

async function markSynced(sandbox: SandboxPlace): Promise<void> {
  const marker = await requireMarker(sandbox);
  if (marker.promotion === undefined) throw stepFailure('Bug', 'a sandbox was flushed before it was stopped');
  await writeMarker(sandbox, { ...marker, promotion: { ...marker.promotion, synced: true } });
}

/** The moment of the change: one move. */
async function moveIn(place: NodePlace, ready: string, input: SwapInInput, mover: SnapshotProvider): Promise<void> {
  await requireStopped(ready);
  await requireCluster(place.node.binDir, ready, replacementOf(input.expect));
  faultPoint('swap-in:before-rename');
  await mover.move(ready, place.dataDir);
  faultPoint('swap-in:after-rename');
  await requireCluster(place.node.binDir, place.dataDir, replacementOf(input.expect));
}
