/** The private server that ends a recovery: own port and socket directory, found again after a kill by what its pid file says. */
import { rm } from 'node:fs/promises';
import path from 'node:path';
import type pg from 'pg';

import type { EndRecoveryInput } from '../../../shared/contracts/promotion.js';
import { withClient } from '../../lib/database.js';
import type { ActivityDeps } from '../../lib/deps.js';
import { programEnvironment } from '../../lib/exec-secrets.js';
import { stepFailure } from '../../lib/failure.js';
import { faultPoint } from '../../lib/fault-points.js';
import type { PrivateServers } from '../../lib/runtime.js';
import { postgresArgs } from '../commands.js';
import { pathExists, replaceFile, type Owner } from '../data-directory.js';
import { isPortFree } from '../sandbox/ports.js';
import { makeSocketDir, removeSocketDir, socketDirFor } from '../sandbox/socket-dir.js';
import { endRecoverySettings } from './end-recovery-settings.js';
import type { NodePlace } from './node-place.js';

export type PrivateServer = {
  /** Runs `work` in a session of the superuser. */
  session<T>(work: (client: pg.Client) => Promise<T>): Promise<T>;
};

/** The rest of the replay is at most what came after the sandbox's last restart point; on a large cluster that is minutes. */
const START_TIMEOUT_MS = 3_600_000;
const STOP_TIMEOUT_MS = 600_000;

/** Beside the data directory, not in it: nothing of ours may stay in production's data. */
function hbaFileOf(place: NodePlace): string {
  return `${place.dataDir}.end-recovery-hba`;
}

function logFileOf(place: NodePlace): string {
  return `${place.dataDir}.end-recovery.log`;
}

/** Who runs the private servers of the node of a step. */
export function serversOf(
  deps: Pick<ActivityDeps, 'runtime'>,
  input: Pick<EndRecoveryInput, 'environment' | 'node'>,
): PrivateServers {
  return deps.runtime(input.environment, input.node).servers;
}

/** Starts the private server, or attaches to the one of an earlier attempt, and returns once it is promoted and takes sessions. */
export async function runPrivately(
  deps: ActivityDeps,
  input: EndRecoveryInput,
  place: NodePlace,
  owner: Owner,
): Promise<PrivateServer> {
  const socketDir = socketDirFor(place.dataDir, input.runId);
  const servers = serversOf(deps, input);
  const { dataDir } = place;
  await refuseForeignServer(servers, place, input.runId);
  const running = await privateServerOf(servers, place, input.runId);
  // A killed server leaves its socket's lock file, and PostgreSQL believes it while the zombie of that pid is there.
  if (running === null) await removeSocketDir(socketDir);
  await makeSocketDir(socketDir, owner);
  await replaceFile(hbaFileOf(place), '# Generated; removed afterwards.\nlocal all all trust\n', owner);
  const server = await servers.start({
    role: 'production',
    dataDir,
    owner,
    socketDir,
    paths: [hbaFileOf(place)],
    options: await optionsFor(deps, input, place, socketDir),
    logFile: logFileOf(place),
    env: programEnvironment(place.environment.backups),
    timeoutMs: START_TIMEOUT_MS,
    until: 'accepting',
  });
  if (running === null) faultPoint('end-recovery:started');
  const port = server.port ?? 0;
  await requireOutOfRecovery(place, input);
  return {
    session: (work) => session(place, socketDir, port, work),
  };
}

/** Removes what the private server had outside of the data directory; its log stays. */
export async function cleanUpPrivately(servers: PrivateServers, place: NodePlace, runId: string): Promise<void> {
  await stopPrivately(servers, place, runId);
  await removeSocketDir(socketDirFor(place.dataDir, runId));
  await rm(hbaFileOf(place), { force: true });
}

/** Stops our private server and removes what ran it; a server that is not ours is left alone. */
export async function stopPrivately(servers: PrivateServers, place: NodePlace, runId: string): Promise<void> {
  const { dataDir } = place;
  const seen = await servers.read({ dataDir, socketDir: socketDirFor(dataDir, runId) });
  if (seen.state === 'running' && !seen.isOurs) return;
  if (seen.state === 'unknown') throw stepFailure('PreconditionFailed', `cannot tell what runs there: ${seen.why}`);
  await servers.stop({ dataDir, socketDir: socketDirFor(dataDir, runId) }, { timeoutMs: STOP_TIMEOUT_MS });
}

/** Port of our private server when that is what runs on the data directory, else null. */
export async function privateServerOf(
  servers: PrivateServers,
  place: NodePlace,
  runId: string,
): Promise<number | null> {
  const seen = await servers.read({ dataDir: place.dataDir, socketDir: socketDirFor(place.dataDir, runId) });
  return seen.state === 'running' && seen.isOurs ? seen.port : null;
}

/** A server that we did not start (somebody tried it out) would have promoted it without a plan, or is production already. */
async function refuseForeignServer(servers: PrivateServers, place: NodePlace, runId: string): Promise<void> {
  const seen = await servers.read({ dataDir: place.dataDir, socketDir: socketDirFor(place.dataDir, runId) });
  if (seen.state === 'stopped' || (seen.state === 'running' && seen.isOurs)) return;
  const what = seen.state === 'running' ? `a server that is not ours runs (pid ${String(seen.pid)})` : seen.why;
  throw stepFailure('PreconditionFailed', `cannot end the recovery of ${place.dataDir}: ${what}`, {
    hint: 'stop it by hand, then `pgr retry`',
  });
}

async function optionsFor(
  deps: ActivityDeps,
  input: EndRecoveryInput,
  place: NodePlace,
  socketDir: string,
): Promise<string[]> {
  const settings = endRecoverySettings({
    timeline: input.plan.timeline,
    stop: input.plan.stop,
    port: await freePrivatePort(place),
    socketDir,
    hbaFile: hbaFileOf(place),
    user: place.environment.postgres.user,
  });
  deps.log.info({ node: input.node, socketDir }, 'ending recovery on a private address');
  return postgresArgs(place.dataDir, settings).slice(2);
}

/** A free port of the sandbox range that no node of the environment uses. */
async function freePrivatePort(place: NodePlace): Promise<number> {
  const [first, last] = place.environment.sandbox.ports;
  const taken = new Set(place.environment.nodes.map((node) => node.port));
  for (let port = last; port >= first; port -= 1) {
    if (!taken.has(port) && (await isPortFree(port))) return port;
  }
  throw stepFailure('PortTaken', `no port of ${String(first)}-${String(last)} is free`);
}

async function requireOutOfRecovery(place: NodePlace, input: EndRecoveryInput): Promise<void> {
  if (!(await pathExists(path.join(place.dataDir, 'recovery.signal')))) return;
  throw stepFailure('RecoveryStopped', `${place.dataDir} (run ${input.run}) is up but still in recovery`, {
    hint: `read ${logFileOf(place)}, then \`pgr retry\` or \`pgr abort\``,
  });
}

async function session<T>(
  place: NodePlace,
  socketDir: string,
  port: number,
  work: (client: pg.Client) => Promise<T>,
): Promise<T> {
  const { user, database } = place.environment.postgres;
  return withClient({ host: socketDir, port, user, database, password: null, statementTimeoutMs: 600_000 }, work);
}
