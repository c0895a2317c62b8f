/**
 * Private servers in throw-away containers of the image of the node's own server: with its libraries, its extensions and its locales, on which the order
 * of every index on text depends. The name of a container is a function of its data directory, so the engine itself refuses a second one.
 */
import { describeFailure, type ProgramResult, type RunAs } from '../lib/exec.js';
import { stepFailure } from '../lib/failure.js';
import { pollUntil } from '../lib/poll.js';
import type { PrivateServers, PrivateServerState } from '../lib/runtime.js';
import { removeContainerArgs, runContainerArgs, stopContainerArgs, type NewContainer } from './commands.js';
import { isDown, type Container } from './containers.js';
import { containerNamed, refuseOtherPlace } from './docker-node.js';
import { ownContainer, privateName, readAll, type Known } from './docker-private.js';
import type { Docker } from './docker-runtime.js';
import { startPrivate } from './docker-start.js';
import { commonParts, productionMounts, splitEnv, templateOf, type Template } from './docker-template.js';
import { readPrivate, unreadable } from './process-servers.js';

const STOP_TIMEOUT_MS = 300_000;
/** From the start of a container to the pid file of its server, on a busy machine. */
const SETTLE_TIMEOUT_MS = 30_000;
const READ_TIMEOUT_MS = 120_000;

/** Prints the settings named in the first argument, one a line; the rest are arguments of the server, the first of them its program. */
const READ_SETTINGS = 'names=$1; shift; for name in $names; do "$@" -C "$name" || exit 1; done';

/** Private servers of a node that docker runs. */
export function createDockerServers(docker: Docker): PrivateServers {
  return {
    read: (server) => settle(docker, server),
    start: (request) => startPrivate(docker, request, () => settle(docker, request)),
    stop: (server, how = {}) => stop(docker, server, how.mode ?? 'fast', how.timeoutMs ?? STOP_TIMEOUT_MS),
    readSettings: (dataDir, owner, names) => readSettings(docker, dataDir, owner, names),
    runShell: (request) => runShell(docker, request),
  };
}

/** What works there; a container that was started a moment ago is waited for until its server is seen. */
async function settle(docker: Docker, server: Known): Promise<PrivateServerState> {
  const look = (): Promise<PrivateServerState> => readPrivate(docker.control, server.dataDir, server.socketDir);
  const first = await look();
  if (first.state === 'running') return first;
  let up: Container | null = null;
  const settled = await pollUntil(
    async () => {
      up = ownContainer(await readAll(docker, `tell what runs on ${server.dataDir}`), server);
      const seen = await look();
      return seen.state !== 'stopped' || up === null || isDown(up) ? seen : null;
    },
    { timeoutMs: SETTLE_TIMEOUT_MS, everyMs: 100 },
  );
  return settled ?? { state: 'unknown', why: `container ${privateName(server)} is up, and its server is not seen` };
}

/** First the server as such (it may be one that a process of the host runs), then what ran it. */
async function stop(
  docker: Docker,
  server: Known,
  mode: 'fast' | 'immediate',
  timeoutMs: number,
): ReturnType<PrivateServers['stop']> {
  const { engine, control } = docker;
  const before = await settle(docker, server).catch((error: unknown) => {
    throw stepFailure('FenceFailed', error instanceof Error ? error.message : String(error));
  });
  const stopped = await control.stopServer({ dataDir: server.dataDir, mode, timeoutMs });
  const name = privateName(server);
  const left = ownContainer(await readAll(docker, `see what is left of ${name}`), server);
  if (left === null) return stopped;
  // It ends with its server; one whose server never came up is ended here, in order, unless its data are thrown away.
  const ended = isDown(left) || mode === 'immediate' ? null : await engine.run(stopContainerArgs(name), timeoutMs);
  const removed = ended === null || ended.exitCode === 0 ? await engine.run(removeContainerArgs(name)) : ended;
  if (ownContainer(await readAll(docker, `see whether ${name} is gone`), server) === null) {
    const outcome = before.state === 'stopped' ? stopped.outcome : 'stopped';
    return { outcome, proof: `${stopped.proof}; container ${name} is removed` };
  }
  throw stepFailure('FenceFailed', `container ${name} is still there: ${describeFailure(removed)}`, {
    hint: `see \`docker logs ${name}\`, then \`pgr retry\``,
  });
}

/** One container for all of them: each costs a third of a second. */
async function readSettings<Name extends string>(
  docker: Docker,
  dataDir: string,
  owner: RunAs,
  names: readonly Name[],
): Promise<Record<Name, string>> {
  const { template, inner } = await productionTemplate(docker, dataDir);
  const said = await runOnce(docker, dataDir, owner, {
    network: 'none',
    env: template.env,
    timeoutMs: READ_TIMEOUT_MS,
    args: ['-c', READ_SETTINGS, 'sh', names.join(' '), template.serverProgram, '-D', inner, ...template.serverArgs],
  });
  if (said.exitCode !== 0) throw unreadable(dataDir, 'settings', describeFailure(said));
  const lines = said.stdout.split('\n').map((line) => line.trim());
  if (lines.length !== names.length) throw unreadable(dataDir, 'settings', `the server printed ${said.stdout}`);
  return Object.fromEntries(names.map((name, index) => [name, lines[index] ?? ''])) as Record<Name, string>;
}

async function runShell(
  docker: Docker,
  { dataDir, owner, command, env, timeoutMs }: Parameters<PrivateServers['runShell']>[0],
): Promise<ProgramResult> {
  const { template } = await productionTemplate(docker, dataDir);
  const all = [...template.env, ...Object.entries(env).map(([name, value]) => `${name}=${value}`)];
  return runOnce(docker, dataDir, owner, { network: template.network, env: all, timeoutMs, args: ['-c', command] });
}

/** A shell in a container that sees what the node's server sees, with `dataDir` as its data; gone when it ends. */
async function runOnce(
  docker: Docker,
  dataDir: string,
  owner: RunAs,
  what: Pick<NewContainer, 'network' | 'args'> & { env: readonly string[]; timeoutMs: number },
): Promise<ProgramResult> {
  const { template, inner } = await productionTemplate(docker, dataDir);
  const { openEnv, passed } = splitEnv(what.env);
  const args = runContainerArgs({
    ...commonParts(template.image, owner, dataDir),
    name: null,
    // No private server: nothing of it may be taken for one.
    labels: {},
    network: what.network,
    mounts: await productionMounts(template, inner, dataDir),
    openEnv,
    passedEnv: Object.keys(passed),
    workdir: inner,
    more: [],
    entrypoint: '/bin/sh',
    args: what.args,
  });
  return docker.engine.run(args, what.timeoutMs, passed);
}

async function productionTemplate(docker: Docker, dataDir: string): Promise<{ template: Template; inner: string }> {
  const { settings, node } = docker;
  const containers = await readAll(docker, `read the settings of ${dataDir}`);
  const container = containerNamed(containers, settings.container);
  if (container !== null) await refuseOtherPlace(container, settings, node.dataDir);
  return { template: templateOf(container, settings), inner: settings.containerDataDir };
}
