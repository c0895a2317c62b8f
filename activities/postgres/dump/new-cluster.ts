/**
 * The new cluster of a sandbox: made by initdb, started on a private address. On a retry: a cluster that was made is kept, one that initdb did not
 * finish is made again, a server that runs is left alone.
 */
import { rename, rm } from 'node:fs/promises';
import path from 'node:path';

import type { DumpPlan } from '../../../shared/contracts/dump.js';
import { readBootId } from '../../lib/boot-id.js';
import type { ActivityDeps } from '../../lib/deps.js';
import { describeFailure, runProgram } from '../../lib/exec.js';
import { stepFailure } from '../../lib/failure.js';
import { faultPoint } from '../../lib/fault-points.js';
import { requireControlData } from '../control-data.js';
import { directoryState, ownerOf, replaceFileUnflushed, runAsOwner } from '../data-directory.js';
import { CONFIG_TEXT, hbaText, IDENT_TEXT } from '../sandbox/files.js';
import { refuseNearData } from '../sandbox/guard.js';
import { changeMarker, tainted, type SandboxMarker } from '../sandbox/marker.js';
import type { SandboxPlace } from '../sandbox/place.js';
import { portAtStart } from '../sandbox/ports.js';
import { sandboxServers } from '../sandbox/sandbox-server.js';
import { connectSandbox } from '../sandbox/session.js';
import { newClusterArguments } from '../sandbox/settings.js';
import { makeSocketDir } from '../sandbox/socket-dir.js';
import { initdbArgs } from './commands.js';
import { dumpPlaceOf } from './dump-place.js';

const FAULT_CLUSTER_BEFORE_RENAME = 'dump-cluster:before-rename';
const INITDB_TIMEOUT_MS = 600_000;
const ACCEPTS_TIMEOUT_MS = 300_000;

export type ClusterDeps = Pick<ActivityDeps, 'config' | 'runtime' | 'resolveSecret'>;

/**
 * Settings on top of those of every sandbox: a restore writes no WAL for tables that it fills in the transaction that made them
 * (PostgreSQL docs, "Populating a Database").
 */
const RESTORING: Readonly<Record<string, string>> = {
  wal_level: 'minimal',
  max_wal_senders: '0',
  maintenance_work_mem: '256MB',
  // Statements of a restore hold password hashes and rows.
  log_min_error_statement: 'panic',
  log_statement: 'none',
};

/** Makes the cluster unless it is there. Throws CommandFailed with what initdb said (a locale that this host does not have). */
export async function makeCluster(place: SandboxPlace, plan: DumpPlan): Promise<string> {
  if ((await directoryState(place.dataDir)) !== 'cluster') {
    const { newDataDir } = dumpPlaceOf(place);
    await rm(newDataDir, { recursive: true, force: true });
    const owner = await ownerOf(place.dir);
    const { user } = place.environment.postgres;
    const made = await runProgram(path.join(place.binDir, 'initdb'), initdbArgs(newDataDir, user, plan.cluster), {
      ...runAsOwner(owner),
      timeoutMs: INITDB_TIMEOUT_MS,
    });
    if (made.exitCode !== 0) throw initdbFailure(describeFailure(made), plan);
    faultPoint(FAULT_CLUSTER_BEFORE_RENAME);
    await rename(newDataDir, place.dataDir);
  }
  const { systemIdentifier } = await requireControlData(place.binDir, place.dataDir);
  await changeMarker(place, { systemIdentifier });
  return systemIdentifier;
}

function initdbFailure(said: string, { cluster }: DumpPlan): Error {
  const isLocale = /locale|encoding/i.test(said);
  return stepFailure(isLocale ? 'PreconditionFailed' : 'CommandFailed', `the new cluster could not be made: ${said}`, {
    hint: isLocale
      ? `install that locale on the host of the sandbox, or name another one with --locale (it is from ${cluster.localeFrom})`
      : 'mend what the message names, then `pgr retry`',
  });
}

/** Starts the server unless it runs, and returns once it takes sessions. Throws PortTaken, SandboxTainted after a restart of the host. */
export async function startCluster(deps: ClusterDeps, place: SandboxPlace, plan: DumpPlan): Promise<SandboxMarker> {
  const marker = await changeMarker(place, {});
  const servers = sandboxServers(deps, place);
  const { dataDir } = place;
  const { socketDir } = marker;
  if ((await servers.read({ dataDir, socketDir })).state === 'running') return marker;
  await refuseNearData(deps.config, dataDir);
  if (marker.boot !== (await readBootId())) {
    throw tainted(place, 'the host restarted while its data were not on disk yet');
  }
  const owner = await ownerOf(place.dir);
  await replaceFileUnflushed(place.configFile, CONFIG_TEXT, owner);
  await replaceFileUnflushed(place.hbaFile, hbaText(place.environment.postgres.password !== undefined), owner);
  await replaceFileUnflushed(place.identFile, IDENT_TEXT, owner);
  await makeSocketDir(socketDir, owner);
  const port = await portAtStart(place, marker.port);
  const started = await changeMarker(place, { started: true, port });
  await servers.start({
    role: 'sandbox',
    dataDir,
    owner,
    socketDir,
    logFile: place.serverLog,
    options: newClusterArguments(
      {
        plan: { postgresMajor: plan.cluster.postgresMajor },
        sandbox: marker.sandbox,
        port,
        socketDir,
        sharedBuffers: place.environment.sandbox.sharedBuffers,
        configFile: place.configFile,
        hbaFile: place.hbaFile,
        identFile: place.identFile,
        preloadLibraries: plan.cluster.preloadLibraries,
      },
      RESTORING,
    ),
    paths: [place.dir],
    timeoutMs: ACCEPTS_TIMEOUT_MS,
    until: 'accepting',
  });
  return started;
}

/** The superuser can log in over loopback with the password that the config knows; globals bring another one where they do. */
export async function setPassword(deps: ClusterDeps, place: SandboxPlace, marker: SandboxMarker): Promise<void> {
  const { user, password: reference } = place.environment.postgres;
  if (reference === undefined) return;
  const password = await deps.resolveSecret(reference);
  await connectSandbox(place, marker, { settings: { default_transaction_read_only: 'off' } }, async (client) => {
    await client.query(`alter role ${client.escapeIdentifier(user)} password ${client.escapeLiteral(password)}`);
  });
}

/** Throws away a cluster in which a restore did not come to its end. Only ever called before the completion mark. */
export async function dropCluster(deps: ClusterDeps, place: SandboxPlace, marker: SandboxMarker): Promise<void> {
  await refuseNearData(deps.config, place.dataDir);
  await sandboxServers(deps, place).stop(
    { dataDir: place.dataDir, socketDir: marker.socketDir },
    { mode: 'immediate' },
  );
  await rm(place.dataDir, { recursive: true, force: true, maxRetries: 3 });
}
