/**
 * Removes a sandbox: its transfer, its server, its directory. Only one that carries our marker and is not on its way into production.
 * On a retry: the marker goes last, so whatever an attempt left is still known to be ours.
 */
import { lstat, readdir, rm, rmdir } from 'node:fs/promises';
import path from 'node:path';

import type { DiscardSandboxResult, SandboxRef } from '../../../shared/contracts/sandbox.js';
import { jobIdFor } from '../../../shared/ids.js';
import type { ActivityDeps } from '../../lib/deps.js';
import { faultPoint } from '../../lib/fault-points.js';
import { namesIn, syncDirectory } from '../data-directory.js';
import { baseDoneFile, fetchJobId } from './fetch-job.js';
import { refuseNearData } from './guard.js';
import { changeMarker, isOurs, notOurs, readMarker, refuseUnlessThrowaway } from './marker.js';
import { placeOf, type SandboxPlace } from './place.js';
import { sandboxServers } from './sandbox-server.js';
import { removeSocketDir, socketDirFor } from './socket-dir.js';
import { stepFailure } from '../../lib/failure.js';

export const FAULT_DISCARD_BEFORE_MARKER = 'discard-before-marker';

/** Throws SandboxNotOurs or PreconditionFailed (it is being promoted); then nothing was touched. */
export function createDiscardSandbox(deps: Pick<ActivityDeps, 'config' | 'jobs' | 'runtime'>) {
  return async function discardSandbox({ ref }: { ref: SandboxRef }): Promise<DiscardSandboxResult> {
    const place = placeOf(deps.config, ref);
    const socketDir = socketDirFor(place.dir, ref.runId);
    const stop = (): Promise<unknown> =>
      sandboxServers(deps, place).stop({ dataDir: place.dataDir, socketDir }, { mode: 'immediate' });
    if (!(await isThere(place))) {
      await stop();
      await removeSocketDir(socketDir);
      return { outcome: 'already-gone', freedBytes: 0 };
    }
    await refuseNearData(deps.config, place.dir);
    for (const step of ['combine-incrementals', 'verify-combined', 'amcheck']) {
      await deps.jobs.end(jobIdFor(ref.runId, step));
    }
    await deps.jobs.end(fetchJobId(place));
    // The run may restore from another store: what this transfer had reached says nothing about that one.
    await rm(baseDoneFile(deps.jobs.directory(fetchJobId(place))), { force: true });
    await stop();
    await removeSocketDir(socketDir);
    const freedBytes = await bytesIn(place.dir);
    await removeAll(place);
    return { outcome: 'discarded', freedBytes };
  };
}

/** True when there is something of ours to remove. From here on the marker says `discarded`: nobody starts it again. */
async function isThere(place: SandboxPlace): Promise<boolean> {
  const names = await namesIn(place.dir);
  if (names === null) return false;
  const marker = await readMarker(place);
  if (marker === null && names.length === 0) {
    await rmdir(place.dir);
    return false;
  }
  if (marker === null) throw stepFailure('SandboxNotOurs', `${place.dir} is not empty and has no marker of this run`);
  if (!isOurs(marker, place.ref)) throw notOurs(place, marker);
  if (marker.state === 'discarded') return true;
  refuseUnlessThrowaway(place, marker);
  await changeMarker(place, { state: 'discarded' });
  return true;
}

async function removeAll(place: SandboxPlace): Promise<void> {
  for (const name of await readdir(place.dir)) {
    const target = path.join(place.dir, name);
    if (target !== place.markerFile) await rm(target, { recursive: true, force: true, maxRetries: 3 });
  }
  faultPoint(FAULT_DISCARD_BEFORE_MARKER);
  await rm(place.dir, { recursive: true, force: true });
  await syncDirectory(place.root);
}

/** Bytes that the files take on disk. */
async function bytesIn(dir: string): Promise<number> {
  let bytes = 0;
  for (const entry of await readdir(dir, { withFileTypes: true })) {
    const target = path.join(dir, entry.name);
    if (entry.isDirectory()) bytes += await bytesIn(target);
    else
      bytes += await lstat(target).then(
        (facts) => facts.blocks * 512,
        () => 0,
      );
  }
  return bytes;
}
