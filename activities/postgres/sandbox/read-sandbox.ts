/**
 * State of a sandbox as it is now. A sandbox that had reached its target and whose server is gone (the host restarted) is brought back first:
 * it is kept for people to look at, and only its server can tell that it still stands where it stood.
 */
import type { ReadSandboxResult, SandboxRef } from '../../../shared/contracts/sandbox.js';
import { pathExists } from '../data-directory.js';
import { readPostmaster } from '../postmaster.js';
import { bringUp, readStoredPlan } from './bring-up.js';
import { changeMarker, isOurs, readMarker, type SandboxMarker } from './marker.js';
import { placeOf, sandboxUrl, type SandboxPlace } from './place.js';
import type { SandboxDeps } from './sandbox-server.js';
import { watchReplay, type ReplaySight } from './replay-watch.js';

/** Longer replays are reported as `replaying`; the next call sees how far they came. */
const BRING_UP_MS = 20_000;

export function createReadSandbox(deps: SandboxDeps) {
  return async function readSandbox({ ref }: { ref: SandboxRef }): Promise<ReadSandboxResult> {
    const place = placeOf(deps.config, ref);
    const nothing = { dir: place.dir, port: null, url: null, replayLsn: null };
    if (!(await pathExists(place.dir))) return { ...nothing, state: 'discarded' };
    const marker = await readMarker(place);
    if (marker === null || !isOurs(marker, ref)) return { ...nothing, state: 'unknown' };
    if (['promoting', 'promoted', 'handed-over', 'discarded'].includes(marker.state))
      return { ...nothing, state: marker.state };
    const address = { dir: place.dir, port: marker.port, url: sandboxUrl(place, marker.port), replayLsn: null };
    if (marker.origin === 'dump') return { ...address, state: await dumpState(place, marker) };
    const sight = await currentSight(deps, place, marker);
    return {
      state: await stateOf(place, marker, sight),
      dir: place.dir,
      port: marker.port,
      url: sandboxUrl(place, marker.port),
      replayLsn: sight.kind === 'paused' || sight.kind === 'replaying' ? sight.lsn : null,
    };
  };
}

/** A dump has nothing to replay; whether somebody wrote into it is found by its own check. */
async function dumpState(place: SandboxPlace, marker: SandboxMarker): Promise<ReadSandboxResult['state']> {
  const server = await readPostmaster(place.dataDir);
  return server.state === 'stopped' && marker.started ? 'stopped' : marker.state;
}

async function currentSight(deps: SandboxDeps, place: SandboxPlace, marker: SandboxMarker): Promise<ReplaySight> {
  const server = await readPostmaster(place.dataDir);
  if (server.state === 'stopped') {
    const plan = marker.state === 'paused' ? await readStoredPlan(place) : null;
    if (plan === null) return { kind: 'stopped', why: server.why };
    return (await bringUp(deps, place, plan, BRING_UP_MS)).sight;
  }
  const watch = watchReplay(place, marker);
  try {
    return await watch.look();
  } finally {
    await watch.close();
  }
}

/** A server that left recovery was opened for writes; that is remembered, because stopping it must not hide it. */
async function stateOf(
  place: SandboxPlace,
  marker: SandboxMarker,
  sight: ReplaySight,
): Promise<ReadSandboxResult['state']> {
  if (sight.kind === 'not-in-recovery') await changeMarker(place, { state: 'tainted' });
  if (sight.kind === 'not-in-recovery' || marker.state === 'tainted') return 'tainted';
  if (sight.kind === 'paused') return marker.state === 'paused' ? 'paused' : 'replaying';
  if (sight.kind === 'stopped') return marker.started ? 'stopped' : marker.state;
  return 'replaying';
}
