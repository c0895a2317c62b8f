/**
 * Starts the server of a sandbox so that it replays to the target and pauses. Needs the data directory that combine-incrementals made.
 * On a retry: a server that runs already is left alone; one that died is started again and goes on from its last restart point.
 */
import { chmod, readFile, stat } from 'node:fs/promises';
import path from 'node:path';

import type { RecoveryPlan } from '../../../shared/contracts/plan.js';
import { largestSettings } from '../../../shared/minimum-settings.js';
import { readBootId } from '../../lib/boot-id.js';
import type { ActivityDeps } from '../../lib/deps.js';
import { serverNodeFor } from '../../lib/environment-config.js';
import { isFailureOf, stepFailure } from '../../lib/failure.js';
import { CLEAN_STATES, requireControlData, type ControlData } from '../control-data.js';
import type { PrivateServers } from '../../lib/runtime.js';
import { ownerOf, pathExists, replaceFileUnflushed, type Owner } from '../data-directory.js';
import { CONFIG_TEXT, hbaText, IDENT_TEXT, restoreScriptText } from './files.js';
import { refuseNearData, requireSelfContained } from './guard.js';
import { changeMarker, tainted, type SandboxMarker } from './marker.js';
import type { SandboxPlace } from './place.js';
import { portAtStart } from './ports.js';
import { sandboxArguments } from './settings.js';
import { makeSocketDir } from './socket-dir.js';

export type SandboxDeps = Pick<ActivityDeps, 'config' | 'runtime'>;

const RECOVERY_SIGNAL = 'recovery.signal';

/**
 * Returns the marker once a postmaster lives (not yet: accepts sessions). Throws PortTaken, SandboxTainted, IdentityMismatch, or what
 * the server said when it would not start.
 */
export async function startSandbox(deps: SandboxDeps, place: SandboxPlace, plan: RecoveryPlan): Promise<SandboxMarker> {
  const marker = await changeMarker(place, {});
  const servers = sandboxServers(deps, place);
  const { dataDir } = place;
  const { socketDir } = marker;
  const server = await servers.read({ dataDir, socketDir });
  if (server.state === 'running') return marker;
  await refuseNearData(deps.config, dataDir);
  const control = await requireStartable(place, marker, plan);
  const owner = await ownerOf(place.dir);
  await writeGeneratedFiles(place, plan, owner);
  await makeSocketDir(marker.socketDir, owner);
  const port = await portAtStart(place, marker.port);
  // recovery.signal first: from the marker on, a data directory without it counts as one that somebody promoted.
  await replaceFileUnflushed(path.join(place.dataDir, RECOVERY_SIGNAL), '', owner);
  const boot = await readBootId();
  const restarted = marker.boot === boot ? {} : { boot };
  const started = await changeMarker(place, { state: 'replaying', started: true, port, ...restarted });
  // Not every store knows them: the base itself does, and a server refuses to replay with less.
  const minimumSettings = largestSettings(plan.minimumSettings, control.settings);
  const options = await serverOptions(servers, place, { ...plan, minimumSettings }, started, owner);
  const logStart = await sizeOf(place.serverLog);
  const { dir, serverLog: logFile } = place;
  try {
    await servers.start({ role: 'sandbox', dataDir, owner, socketDir, logFile, options, paths: [dir], until: 'alive' });
  } catch (error) {
    if (!isFailureOf(error, 'CommandFailed') || !(await beganToWork(place.serverLog, logStart))) throw error;
  }
  return started;
}

/** Who runs the servers of sandboxes on this host. */
export function sandboxServers(deps: SandboxDeps, place: SandboxPlace): PrivateServers {
  const { environment, ref } = place;
  return deps.runtime(ref.environment, serverNodeFor(environment, ref.host).name).servers;
}

/**
 * A recovery can end before anybody has seen its server alive (damage in the first record). Then it is not the start that failed, and whoever
 * watches the recovery reads from the log what did.
 */
async function beganToWork(log: string, from: number): Promise<boolean> {
  const text = (await readFile(log)).subarray(from).toString('utf8');
  return text.includes('starting PostgreSQL');
}

async function sizeOf(file: string): Promise<number> {
  return stat(file).then(
    ({ size }) => size,
    () => 0,
  );
}

async function serverOptions(
  servers: PrivateServers,
  place: SandboxPlace,
  plan: RecoveryPlan,
  marker: SandboxMarker,
  owner: Owner,
): Promise<string[]> {
  return sandboxArguments({
    plan,
    sandbox: marker.sandbox,
    port: marker.port,
    socketDir: marker.socketDir,
    sharedBuffers: place.environment.sandbox.sharedBuffers,
    configFile: place.configFile,
    hbaFile: place.hbaFile,
    identFile: place.identFile,
    restoreScript: place.restoreScript,
    preloadLibraries: await preloadLibraries(servers, place, owner),
  });
}

/** Data that are whole, of the planned cluster, still in recovery, and not half on disk after a crash of the host. */
async function requireStartable(place: SandboxPlace, marker: SandboxMarker, plan: RecoveryPlan): Promise<ControlData> {
  const control = await requireControlData(place.binDir, place.dataDir);
  if (control.systemIdentifier !== plan.systemIdentifier) {
    throw stepFailure(
      'IdentityMismatch',
      `the data in ${place.dataDir} are of cluster ${control.systemIdentifier}, the plan is for ${plan.systemIdentifier}`,
    );
  }
  await requireSelfContained(place.dataDir);
  if (marker.state === 'tainted') throw tainted(place, 'it was opened for writes');
  if (control.timeline > plan.timeline) {
    throw tainted(place, `it is on timeline ${String(control.timeline)}, so somebody promoted it`);
  }
  if (marker.started && !(await pathExists(path.join(place.dataDir, RECOVERY_SIGNAL)))) {
    throw tainted(place, 'recovery.signal is gone, so somebody promoted it');
  }
  if (marker.boot !== (await readBootId()) && !(marker.started && CLEAN_STATES.includes(control.state))) {
    throw tainted(place, `the host restarted while its data were not on disk yet (state "${control.state}")`);
  }
  return control;
}

async function writeGeneratedFiles(place: SandboxPlace, plan: RecoveryPlan, owner: Owner): Promise<void> {
  const hasPassword = place.environment.postgres.password !== undefined;
  const script = restoreScriptText({ spoolDir: place.walDir, completeFile: place.walComplete, plan });
  await replaceFileUnflushed(place.configFile, CONFIG_TEXT, owner);
  await replaceFileUnflushed(place.hbaFile, hbaText(hasPassword), owner);
  await replaceFileUnflushed(place.identFile, IDENT_TEXT, owner);
  await replaceFileUnflushed(place.restoreScript, script, owner);
  await chmod(place.restoreScript, 0o700);
}

/**
 * What the configuration preloads that the base brought along. Configuration that lies elsewhere (or does not parse here) gives nothing: then WAL of
 * an extension with a resource manager of its own ends recovery with a message that names it.
 */
async function preloadLibraries(servers: PrivateServers, place: SandboxPlace, owner: Owner): Promise<string[]> {
  const name = 'shared_preload_libraries';
  const settings = await servers.readSettings(place.dataDir, owner, [name]).catch((error: unknown) => {
    if (isFailureOf(error, 'PreconditionFailed')) return { [name]: '' };
    throw error;
  });
  return settings[name]
    .split(',')
    .map((library) => library.trim().replace(/^"(.*)"$/, '$1'))
    .filter((library) => library !== '');
}
