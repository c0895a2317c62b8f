/** The start of a private server in a container: found again, cleared away or refused before a new one is made; its state is read afterwards. */
import { chown, open, readFile } from 'node:fs/promises';

import { describeFailure } from '../lib/exec.js';
import { stepFailure } from '../lib/failure.js';
import { faultPoint } from '../lib/fault-points.js';
import { pollUntil } from '../lib/poll.js';
import type { PrivateServerStart, PrivateServerState } from '../lib/runtime.js';
import { removeContainerArgs, runContainerArgs, type NewContainer } from './commands.js';
import { canonicalPath, holdersOf, isDown, type Container } from './containers.js';
import { containerNamed, describeContainer, refuseOtherPlace } from './docker-node.js';
import type { Docker } from './docker-runtime.js';
import { ownContainer, privateName, readAll } from './docker-private.js';
import { commonParts, productionMounts, sameMount, splitEnv, templateOf } from './docker-template.js';

const FAULT_CONTAINER_RUN = 'private-container:run';

const START_TIMEOUT_MS = 300_000;
/** Making a container takes a third of a second; a busy disk takes longer. */
const RUN_TIMEOUT_MS = 120_000;

/** Writes where the log is kept for people and for us, whatever log driver the engine has. */
const WITH_LOG = 'log=$1; shift; exec "$@" >>"$log" 2>&1';

type Started = { outcome: 'started' | 'already-running'; pid: number; port: number | null };

/** @param settle reads what works in the data directory, once it can be told */
export async function startPrivate(
  docker: Docker,
  request: PrivateServerStart,
  settle: () => Promise<PrivateServerState>,
): Promise<Started> {
  const before = await settle();
  if (before.state === 'unknown') {
    throw stepFailure('PreconditionFailed', `cannot tell whether a server runs on ${request.dataDir}: ${before.why}`);
  }
  const logStart = await prepareLog(request);
  if (before.state === 'running')
    return { outcome: 'already-running', ...(await waitUntilUp(docker, request, logStart)) };
  const containers = await clearAway(docker, request);
  await refuseHolders(docker, containers, request);
  const { args, passed } = await containerFor(docker, containers, request);
  const said = await docker.engine.run(args, RUN_TIMEOUT_MS, passed);
  faultPoint(FAULT_CONTAINER_RUN);
  // The exit code is no proof: another attempt may have made it a moment ago.
  const made = ownContainer(await readAll(docker, `see what became of ${privateName(request)}`), request);
  if (said.exitCode !== 0 && (made === null || made.status === 'created')) {
    await docker.engine.run(removeContainerArgs(privateName(request)));
    throw refusedBy(describeFailure({ ...said, command: 'docker run' }));
  }
  return { outcome: 'started', ...(await waitUntilUp(docker, request, logStart)) };
}

/** The log must be there before the container: a mount needs its source. Returns how long it is. */
async function prepareLog({ logFile, owner }: PrivateServerStart): Promise<number> {
  const log = await open(logFile, 'a', 0o600);
  try {
    if (process.getuid?.() === 0) await chown(logFile, owner.uid, owner.gid);
    return (await log.stat()).size;
  } finally {
    await log.close();
  }
}

/** Removes the ended container of an earlier attempt; returns all others. */
async function clearAway(docker: Docker, request: PrivateServerStart): Promise<Container[]> {
  const containers = await readAll(docker, `start a server on ${request.dataDir}`);
  const left = ownContainer(containers, request);
  if (left === null) return containers;
  if (isDown(left)) await docker.engine.run(removeContainerArgs(left.name));
  const after = await readAll(docker, `see whether ${left.name} is gone`);
  const still = ownContainer(after, request);
  if (still === null) return after;
  throw stepFailure('PreconditionFailed', `container ${still.name} of an earlier attempt is ${still.status}`, {
    hint: `see \`docker logs ${still.name}\`; remove it with \`docker rm --force ${still.name}\`, then \`pgr retry\``,
  });
}

/**
 * Two servers on one PGDATA destroy it. The node's own container holds its data, of course: it may be there as long as it does not run. On the data of a
 * sandbox it cannot work, because its PGDATA is elsewhere (it may mount the directory around both).
 */
async function refuseHolders(docker: Docker, containers: Container[], request: PrivateServerStart): Promise<void> {
  const { dataDir, role } = request;
  const node = docker.settings.container;
  const holders = (await holdersOf(containers, await canonicalPath(dataDir))).filter(
    (holder) => holder.name !== node || (role === 'production' && !isDown(holder)),
  );
  if (holders.length === 0) return;
  const list = holders.map((holder) => `${holder.name} (${holder.status})`).join(', ');
  throw stepFailure(
    'IdentityMismatch',
    `containers ${privateName(request)} and ${list} would have the same PGDATA ${dataDir}`,
    {
      hint: 'nothing was started; two servers on one PGDATA destroy it: stop and remove the other container, then `pgr retry`',
    },
  );
}

type Wanted = { args: string[]; passed: Record<string, string> };

async function containerFor(docker: Docker, containers: Container[], request: PrivateServerStart): Promise<Wanted> {
  const { settings, node } = docker;
  const container = containerNamed(containers, settings.container);
  const template = templateOf(container, settings);
  if (request.role === 'production' && container !== null) await refuseOtherPlace(container, settings, node.dataDir);
  const inner = request.role === 'production' ? settings.containerDataDir : request.dataDir;
  const own = [...new Set([request.socketDir, request.logFile, ...request.paths])].map(sameMount);
  const handed = Object.entries(request.env ?? {}).map(([name, value]) => `${name}=${value}`);
  const { openEnv, passed } = splitEnv([...template.env, ...handed]);
  const env = [...openEnv.filter((line) => !line.startsWith('PGDATA=')), `PGDATA=${inner}`];
  const base = {
    ...commonParts(template.image, request.owner, request.dataDir),
    name: privateName(request),
    openEnv: env,
    workdir: '/',
    entrypoint: '/bin/sh',
  };
  const serve = (args: readonly string[]): string[] => [
    ...['-c', WITH_LOG, 'sh', request.logFile, template.serverProgram, '-D', inner, ...args, ...request.options],
  ];
  const sandbox: NewContainer = {
    ...base,
    // The loopback of the host: a published port needs a server that listens to the network of the containers, where others reach it.
    network: 'host',
    mounts: own,
    passedEnv: [],
    more: ['--cap-drop', 'ALL', '--security-opt', 'no-new-privileges'],
    args: serve([]),
  };
  if (request.role === 'sandbox') return { args: runContainerArgs(sandbox), passed: {} };
  const production: NewContainer = {
    ...base,
    network: template.network,
    mounts: [...(await productionMounts(template, inner, request.dataDir)), ...own],
    passedEnv: Object.keys(passed),
    more: [],
    args: serve(template.serverArgs),
  };
  return { args: runContainerArgs(production), passed };
}

function refusedBy(said: string): Error {
  if (/no such image|unable to find image/i.test(said)) {
    return stepFailure('PreconditionFailed', `the image of the server is not on this host: ${said}`, {
      hint: 'pull it (`docker pull IMAGE`), then `pgr retry`',
    });
  }
  return stepFailure('CommandFailed', `the container of a private server did not start: ${said}`);
}

async function waitUntilUp(
  docker: Docker,
  request: PrivateServerStart,
  logStart: number,
): Promise<{ pid: number; port: number | null }> {
  let last = 'not looked at yet';
  let looks = 0;
  const up = await pollUntil(
    async () => {
      const seen = await docker.control.readPostmaster(request.dataDir);
      last = seen.state === 'running' ? `pid ${String(seen.pid)}, ${seen.status ?? 'no status yet'}` : seen.why;
      if (seen.state === 'running' && (request.until === 'alive' || seen.status === 'ready')) return seen;
      // The engine is asked every so often only: each question is two processes.
      if (++looks % 10 === 0) await refuseEnded(docker, request, logStart);
      return null;
    },
    { timeoutMs: request.timeoutMs ?? START_TIMEOUT_MS },
  );
  if (up !== null) return { pid: up.pid, port: up.port };
  throw stepFailure('DatabaseUnavailable', `the server on ${request.dataDir} is not ready in time (${last})`, {
    hint: `it may still be in recovery: look at ${request.logFile}`,
  });
}

async function refuseEnded(docker: Docker, request: PrivateServerStart, logStart: number): Promise<void> {
  const answer = await docker.engine.readContainers();
  if (answer.state === 'unknown') return;
  const now = ownContainer(answer.containers, request);
  if (now !== null && !isDown(now)) return;
  // A server of the host's own, from before: it is what is waited for.
  if ((await docker.control.readPostmaster(request.dataDir)).state === 'running') return;
  const text = (await readFile(request.logFile)).subarray(logStart).toString('utf8');
  const tail = text.trim().split('\n').slice(-8).join(' | ');
  const type = /could not (bind|create any TCP)|Is another postmaster already running on port/.test(tail)
    ? 'PortTaken'
    : 'CommandFailed';
  const state = now === null ? 'its container is gone' : `its container is ${describeContainer(now)}`;
  throw stepFailure(
    type,
    `the server on ${request.dataDir} did not start (${state}): ${tail === '' ? 'it wrote nothing' : tail}`,
    {
      hint: `read ${request.logFile}, then \`pgr retry\``,
    },
  );
}
