/**
 * Makes the directory of a sandbox and its marker. Needs nothing but the file system; starts nothing.
 * On a retry: our own marker is found and everything stays as it is (the port is kept when it is still free).
 */
import { chmod, mkdir } from 'node:fs/promises';

import type { PrepareSandboxInput, PrepareSandboxResult } from '../../../shared/contracts/sandbox.js';
import type { ActivityDeps } from '../../lib/deps.js';
import { readBootId } from '../../lib/boot-id.js';
import { stepFailure } from '../../lib/failure.js';
import { faultPoint } from '../../lib/fault-points.js';
import { giveTo, namesIn, replaceFile, syncDirectory, type Owner } from '../data-directory.js';
import { readPostmaster } from '../postmaster.js';
import { refuseNearData, requireSpace } from './guard.js';
import { isOurs, notOurs, readMarker, refuseUnlessThrowaway, writeMarker, type SandboxMarker } from './marker.js';
import { sandboxOwner } from './owner.js';
import { placeOf, sandboxUrl, type SandboxPlace } from './place.js';
import { choosePort, isPortFree } from './ports.js';
import { socketDirFor } from './socket-dir.js';

export const FAULT_SANDBOX_MADE_BEFORE_MARKER = 'sandbox-made-before-marker';

/** Throws SandboxNotOurs, SpaceMissing, PortTaken or PreconditionFailed; nothing of others is touched. */
export function createPrepareSandbox(deps: Pick<ActivityDeps, 'config'>) {
  return async function prepareSandbox({ ref, plan }: PrepareSandboxInput): Promise<PrepareSandboxResult> {
    return makeSandbox(deps, placeOf(deps.config, ref), plan, {});
  };
}

/** What a plan must say to get a sandbox. */
export type SandboxPlan = Pick<PrepareSandboxInput['plan'], 'hash' | 'systemIdentifier'> & {
  space: Pick<PrepareSandboxInput['plan']['space'], 'needBytes'>;
};

/** Makes the directory, the plan in it and the marker; `extra` is what a new marker says besides. Throws as the activity does. */
export async function makeSandbox(
  deps: Pick<ActivityDeps, 'config'>,
  place: SandboxPlace,
  plan: SandboxPlan,
  extra: Pick<SandboxMarker, 'origin'>,
): Promise<PrepareSandboxResult> {
  await refuseNearData(deps.config, place.dir);
  const known = await findOurs(place, plan.hash);
  if (known === null) await requireSpace(place.dir, plan.space.needBytes);
  const owner = await sandboxOwner(place);
  await makeDirectories(place, owner);
  const port = await portFor(place, known);
  const marker = known ?? { ...(await newMarker(place, plan, port)), ...extra };
  await replaceFile(place.planFile, `${JSON.stringify(plan)}\n`, owner);
  faultPoint(FAULT_SANDBOX_MADE_BEFORE_MARKER);
  await writeMarker(place, { ...marker, port });
  return { dir: place.dir, dataDir: place.dataDir, port, url: sandboxUrl(place, port) };
}

/** Our marker, null for a place that is free. An attempt that died before its marker leaves nothing but its own plan. */
async function findOurs(place: SandboxPlace, planHash: string): Promise<SandboxMarker | null> {
  const marker = await readMarker(place);
  if (marker !== null) {
    if (!isOurs(marker, place.ref)) throw notOurs(place, marker);
    refuseUnlessThrowaway(place, marker);
    if (marker.planHash === planHash) return marker;
    throw stepFailure('SandboxNotOurs', `${place.dir} was made for another plan (${marker.planHash.slice(0, 12)})`);
  }
  const names = (await namesIn(place.dir)) ?? [];
  const foreign = names.filter((name) => !['plan.json', 'plan.json.tmp', 'marker.json.tmp', 'wal'].includes(name));
  if (foreign.length === 0 && ((await namesIn(place.walDir)) ?? []).length === 0) return null;
  const some = (foreign.length > 0 ? foreign : ['wal/…']).slice(0, 5).join(', ');
  throw stepFailure('SandboxNotOurs', `${place.dir} is not empty and has no marker of this run: ${some}`);
}

async function makeDirectories(place: SandboxPlace, owner: Owner): Promise<void> {
  const made = await mkdir(place.root, { recursive: true, mode: 0o755 });
  // Only what we just made changes hands: the root may be a mount point of the operator.
  if (made !== undefined) await giveTo(place.root, owner);
  for (const dir of [place.dir, place.walDir]) {
    await mkdir(dir, { recursive: true, mode: 0o700 });
    await chmod(dir, 0o700);
    await giveTo(dir, owner);
  }
  await syncDirectory(place.root);
}

async function newMarker(place: SandboxPlace, plan: SandboxPlan, port: number): Promise<SandboxMarker> {
  const boot = await readBootId();
  const { environment, run, runId, sandbox } = place.ref;
  return {
    api: 1,
    environment,
    run,
    runId,
    sandbox,
    systemIdentifier: plan.systemIdentifier,
    createdAt: new Date().toISOString(),
    state: 'prepared',
    port,
    socketDir: socketDirFor(place.dir, runId),
    planHash: plan.hash,
    boot,
    started: false,
    combined: null,
  };
}

/** The port of an earlier attempt while it is free, or while our own server is the one that listens there. */
async function portFor(place: SandboxPlace, known: SandboxMarker | null): Promise<number> {
  if (known === null) return choosePort(place);
  if (await isPortFree(known.port)) return known.port;
  const server = await readPostmaster(place.dataDir);
  if (server.state === 'running' && server.port === known.port) return known.port;
  return choosePort(place);
}
