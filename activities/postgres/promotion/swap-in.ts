/**
 * Moves the recovered cluster of a sandbox into the place of production's data directory. Everything is prepared in the sandbox (clean stop,
 * configuration, WAL, flush to disk); the one rename at the end is the moment of the change. Killed anywhere, the next attempt decides by
 * what is on disk. Needs: the old data kept aside, no server in either place.
 */
import { rmdir } from 'node:fs/promises';
import path from 'node:path';

import type { SwapInInput, SwapInResult } from '../../../shared/contracts/promotion.js';
import type { ActivityDeps } from '../../lib/deps.js';
import { runProgram, describeFailure } from '../../lib/exec.js';
import { stepFailure } from '../../lib/failure.js';
import { faultPoint } from '../../lib/fault-points.js';
import { syncOnlyArgs } from '../commands.js';
import { directoryState, inSameFileSystem, ownerOf, renameDurably, runAsOwner, type Owner } from '../data-directory.js';
import { requireMarker, writeMarker } from '../sandbox/marker.js';
import { placeOf, type SandboxPlace } from '../sandbox/place.js';
import { NOTHING_TO_KEEP } from '../../lib/kept-note.js';
import { readKeptNote } from './kept-note.js';
import { nodePlace, requireCluster, requireStopped, type NodePlace } from './node-place.js';
import { copySettings, requireArchiving, requireNoTarget, stripRecoverySettings } from './production-settings.js';
import { signalRecovery } from './recovery-signal.js';
import { stopSandbox } from './stop-sandbox.js';
import { bringWal, historiesIn, requireKnownTimelines } from './wal-for-promotion.js';

/** Flushing hundreds of gigabytes to slow disks takes a while. */
const SYNC_TIMEOUT_MS = 3_600_000;

export function createSwapIn(deps: ActivityDeps) {
  return async function swapIn(input: SwapInInput): Promise<SwapInResult> {
    const place = nodePlace(deps, input);
    const sandbox = placeOf(deps.config, input.ref);
    const kept = await requireKept(place, input.expect.systemIdentifier);
    if (await isInPlace(place, sandbox)) return alreadyThere(place, input, kept);
    if (await bringBackUndone(place, sandbox, input)) return alreadyThere(place, input, kept, 'swapped');
    const stripped = await prepare(deps, input, place, sandbox, kept);
    await moveIn(place, sandbox, input);
    return { outcome: 'swapped', dataDir: place.dataDir, settingsFrom: kept ?? 'base', stripped };
  };
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
  await requireCluster(place.node.binDir, place.dataDir, input.expect.systemIdentifier);
  return { outcome, dataDir: place.dataDir, settingsFrom: kept ?? 'base', stripped: [] };
}

/** When an undo is taken back: the promoted data were set aside and come back as they are. */
async function bringBackUndone(place: NodePlace, sandbox: SandboxPlace, input: SwapInInput): Promise<boolean> {
  if ((await directoryState(sandbox.dataDir)) === 'cluster') return false;
  if ((await directoryState(place.undoneDataDir)) !== 'cluster') return false;
  await requireStopped(place.undoneDataDir);
  await requireCluster(place.node.binDir, place.undoneDataDir, input.expect.systemIdentifier);
  await renameDurably(place.undoneDataDir, place.dataDir);
  return true;
}

async function prepare(
  deps: ActivityDeps,
  input: SwapInInput,
  place: NodePlace,
  sandbox: SandboxPlace,
  kept: string | null,
): Promise<string[]> {
  const { binDir } = place.node;
  await requireCluster(binDir, sandbox.dataDir, input.expect.systemIdentifier);
  const owner = await ownerOf(sandbox.dataDir);
  await requireMovable(place, sandbox, kept, owner);
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
  await requireArchiving(servers, sandbox.dataDir, owner);
  await flush(binDir, sandbox.dataDir, owner);
  await markSynced(sandbox);
  return stripped;
}

async function requireMovable(
  place: NodePlace,
  sandbox: SandboxPlace,
  kept: string | null,
  owner: Owner,
): Promise<void> {
  if (!(await inSameFileSystem(sandbox.dataDir, path.dirname(place.dataDir)))) {
    throw stepFailure(
      'PreconditionFailed',
      `${sandbox.dataDir} is not in the file system of ${place.dataDir}: it cannot be renamed into place`,
    );
  }
  if (kept === null) return;
  const wanted = await ownerOf(kept);
  if (wanted.uid === owner.uid && wanted.gid === owner.gid) return;
  throw stepFailure(
    'PreconditionFailed',
    `${sandbox.dataDir} belongs to uid ${String(owner.uid)}, production's data to uid ${String(wanted.uid)}`,
  );
}

/** The sandbox ran with fsync=off: everything goes to disk now, with PostgreSQL's own tool, before it may become production. */
async function flush(binDir: string, dataDir: string, owner: Owner): Promise<void> {
  const result = await runProgram(path.join(binDir, 'initdb'), syncOnlyArgs(dataDir), {
    ...runAsOwner(owner),
    timeoutMs: SYNC_TIMEOUT_MS,
  });
  if (result.exitCode !== 0) throw stepFailure('CommandFailed', describeFailure(result));
}

async function markSynced(sandbox: SandboxPlace): Promise<void> {
  const marker = await requireMarker(sandbox);
  if (marker.promotion === undefined) throw stepFailure('Bug', 'a sandbox was flushed before it was stopped');
  await writeMarker(sandbox, { ...marker, promotion: { ...marker.promotion, synced: true } });
}

/** The moment of the change: one rename. */
async function moveIn(place: NodePlace, sandbox: SandboxPlace, input: SwapInInput): Promise<void> {
  await requireStopped(sandbox.dataDir);
  if ((await directoryState(place.dataDir)) === 'empty') await rmdir(place.dataDir);
  faultPoint('swap-in:before-rename');
  await renameDurably(sandbox.dataDir, place.dataDir);
  faultPoint('swap-in:after-rename');
  await requireCluster(place.node.binDir, place.dataDir, input.expect.systemIdentifier);
}
