/**
 * Takes the safety copy of the stopped standby and verifies it, before anything of the old data is touched (invariant 3). A retry finds it. Where the disk
 * is new and there is nothing to keep, a note says so: later steps can tell that from a copy that somebody deleted.
 */
import path from 'node:path';

import type { RebuildStepInput, SafetyCopy, TakeSafetyCopyResult } from '../../../shared/contracts/rebuild.js';
import type { ActivityDeps } from '../../lib/deps.js';
import { stepFailure } from '../../lib/failure.js';
import { faultPoint } from '../../lib/fault-points.js';
import { NOTHING_TO_KEEP, type KeptNote } from '../../lib/kept-note.js';
import { ownerOf } from '../data-directory.js';
import { readKeptNote, writeKeptNote } from '../promotion/kept-note.js';
import { requirePeer } from './peer.js';
import { rebuildPlace, requirePlannedCluster, requireServerStopped, type RebuildPlace } from './rebuild-place.js';

export function createTakeSafetyCopy(deps: ActivityDeps) {
  return async function takeSafetyCopy(input: RebuildStepInput): Promise<TakeSafetyCopyResult> {
    const startedAt = Date.now();
    const { environment, run, runId, plan } = input;
    const place = rebuildPlace(deps, input);
    const { name: node, host, systemIdentifier, timeline } = plan.node;
    await requirePeer(deps, { environment, node, from: plan.from.name, systemIdentifier });
    await requireServerStopped(place);
    const nothing = await nothingKept(place);
    const seconds = (): number => (Date.now() - startedAt) / 1000;
    if (nothing !== null) return { outcome: 'already-taken', copy: nothing, seconds: seconds() };
    const taken = (await findSafetyCopy(place)) !== null;
    if (!taken && (await requirePlannedCluster(place)) === 'nothing') {
      return { outcome: 'taken', copy: await noteNothing(place), seconds: seconds() };
    }
    const copy = { environment, node, host, run, runId, systemIdentifier, timeline };
    const result = await place.provider.take(copy);
    faultPoint('rebuild:copied-aside');
    return { outcome: result.outcome, copy: result.copy, seconds: seconds() };
  };
}

/** The copy of this run, null when there is none. */
export async function findSafetyCopy(place: RebuildPlace): Promise<SafetyCopy | null> {
  const copies = await place.provider.list();
  return copies.find((copy) => copy.name === place.plan.safetyCopy.name && copy.runId === place.runId) ?? null;
}

/** The copy of this run, verified, or the note that there was nothing. Throws SafetyCopyMissing. */
export async function requireSafetyCopy(place: RebuildPlace): Promise<SafetyCopy> {
  const nothing = await nothingKept(place);
  if (nothing !== null) return nothing;
  const copy = await findSafetyCopy(place);
  if (copy?.verified === true) return copy;
  const what = copy === null ? 'is not there' : 'is not verified';
  throw stepFailure('SafetyCopyMissing', `the safety copy ${place.plan.safetyCopy.name} ${what}: nothing was touched`);
}

/** What stands for a copy when there was nothing to keep; null when there was something. */
export async function nothingKept(place: RebuildPlace): Promise<SafetyCopy | null> {
  const note = await readKeptNote(`${place.keptDataDir}.json`);
  return note?.clusterState === NOTHING_TO_KEEP && note.runId === place.runId ? emptyCopy(place, note) : null;
}

async function noteNothing(place: RebuildPlace): Promise<SafetyCopy> {
  const note: KeptNote = {
    api: 1,
    environment: place.environment,
    node: place.node.name,
    run: place.run,
    runId: place.runId,
    dataDir: place.dataDir,
    keptDataDir: place.keptDataDir,
    systemIdentifier: place.systemIdentifier,
    clusterState: NOTHING_TO_KEEP,
    timeline: 0,
    howToReturn: 'there was no cluster on this node when the rebuild began',
    host: place.node.host,
    createdAt: new Date().toISOString(),
  };
  await writeKeptNote(`${place.keptDataDir}.json`, note, await ownerOf(path.dirname(place.dataDir)));
  return emptyCopy(place, note);
}

function emptyCopy(place: RebuildPlace, note: KeptNote): SafetyCopy {
  const { environment, node, run, runId, systemIdentifier } = note;
  return {
    provider: place.provider.kind,
    name: place.plan.safetyCopy.name,
    environment,
    node,
    host: place.node.host,
    run,
    runId,
    createdAt: note.createdAt ?? '',
    systemIdentifier,
    timeline: 0,
    bytes: 0,
    verified: false,
  };
}
