/**
 * Runtime `docker`: the server runs in a container of this host, e.g. a Kamal accessory (`<service>-<accessory>`). The state comes from the engine AND
 * from the processes that work in the data directory: docker's exit codes prove nothing, and two containers on one PGDATA both start (each postmaster
 * is pid 1 of a namespace of its own, so the lock file does not protect).
 */
import type { EnvironmentConfig, NodeConfig } from '../../config/schema.js';
import { describeFailure } from '../lib/exec.js';
import { stepFailure } from '../lib/failure.js';
import { pollUntil } from '../lib/poll.js';
import type { ServerRuntime, ServerStatus } from '../lib/runtime.js';
import { containerLogArgs, setRestartPolicyArgs, startContainerArgs, stopContainerArgs } from './commands.js';
import { isDown, type Container } from './containers.js';
import { createEngine, type Engine } from './docker-engine.js';
import {
  containerNamed,
  describeContainer,
  readDockerNode,
  refuseOtherHolders,
  refuseOtherPlace,
  statusOf,
  type DockerNode,
  type DockerSettings,
} from './docker-node.js';
import { isPrivate } from './docker-template.js';
import { withKamalLock } from './kamal-lock.js';
import type { ServerControl } from './process-runtime.js';

/** As for the runtime `process`: a long shutdown checkpoint, a long crash recovery. */
const STOP_TIMEOUT_MS = 300_000;
const START_TIMEOUT_MS = 300_000;
/** The engine notices the end of a container at once; a busy one needs a moment. */
const SETTLE_TIMEOUT_MS = 10_000;

export type Docker = { node: NodeConfig; settings: DockerSettings; engine: Engine; control: ServerControl };

/** The server of one node as a container of this host. Throws ConfigInvalid when the node has another runtime. */
export function createDockerRuntime(
  _environment: EnvironmentConfig,
  node: NodeConfig,
  control: ServerControl,
): ServerRuntime {
  const docker = dockerOf(node, control);
  const { settings } = docker;
  return {
    kind: 'docker',
    status: async () => statusOf(await look(docker)),
    start: () => withKamalLock(settings.kamalLock, `start ${node.name}`, () => start(docker)),
    stop: (timeoutMs = STOP_TIMEOUT_MS) =>
      withKamalLock(settings.kamalLock, `stop ${node.name}`, () => stop(docker, timeoutMs)),
  };
}

/** A node and the engine that runs it. Throws ConfigInvalid when it has another runtime. */
export function dockerOf(node: NodeConfig, control: ServerControl): Docker {
  if (node.runtime.kind !== 'docker') throw stepFailure('ConfigInvalid', `node ${node.name} is not run by docker`);
  return { node, settings: node.runtime, engine: createEngine(node.runtime.dockerHost), control };
}

async function look({ node, settings, engine, control }: Docker): Promise<DockerNode> {
  return readDockerNode(engine, settings, node.dataDir, () => control.readPostmaster(node.dataDir));
}

async function stop(docker: Docker, timeoutMs: number): ReturnType<ServerRuntime['stop']> {
  const before = await look(docker);
  const status = statusOf(before);
  if (before.problem !== null) {
    throw stepFailure('FenceFailed', `cannot stop container ${docker.settings.container}: ${before.problem}`, {
      hint: 'start the engine or correct runtime.dockerHost, then `pgr retry`; a container with a restart policy comes back with its engine',
    });
  }
  if (before.container !== null) await refuseOtherPlace(before.container, docker.settings, docker.node.dataDir);
  refuseOtherHolders(
    before,
    before.holders.filter((holder) => !isDown(holder) && !isOnlyPrivate(holder, before.container)),
  );
  if (status.state === 'stopped') return { outcome: 'already-stopped', proof: status.why };
  if (before.container === null || !isUp(before.container)) return stopOutside(docker, before, timeoutMs);
  if (before.container.status === 'paused') {
    throw stepFailure('FenceFailed', `container ${before.container.name} is paused: it cannot stop in order`, {
      hint: `run \`docker unpause ${before.container.name}\`, then \`pgr retry\``,
    });
  }
  const policy = await holdRestarts(docker, before.container);
  const said = await docker.engine.run(stopContainerArgs(before.container.name), timeoutMs);
  let last: ServerStatus = status;
  const stopped = await pollUntil(
    async () => {
      last = statusOf(await look(docker));
      return last.state === 'stopped' ? last : null;
    },
    { timeoutMs: said.exitCode === 0 ? Math.min(SETTLE_TIMEOUT_MS, timeoutMs) : 0, everyMs: 100 },
  );
  if (stopped !== null) return { outcome: 'stopped', proof: `${stopped.why}${policy}` };
  throw stepFailure(
    'FenceFailed',
    `container ${before.container.name} still runs (${describeStatus(last)}): ${describeFailure(said)}`,
    {
      hint: 'nothing was killed and the engine goes on waiting; see what the server waits for (checkpoint, archiver, standby), then `pgr retry`',
    },
  );
}

/** A server on this directory that is not the container's: one that pgr or a person started by hand. Another container was refused before. */
async function stopOutside(docker: Docker, before: DockerNode, timeoutMs: number): ReturnType<ServerRuntime['stop']> {
  const status = statusOf(before);
  if (status.state !== 'running') throw stepFailure('FenceFailed', `cannot tell whether it runs: ${status.why}`);
  const { dataDir } = docker.node;
  await docker.control.stopServer({ dataDir, timeoutMs });
  let last: ServerStatus = status;
  const stopped = await pollUntil(
    async () => {
      last = statusOf(await look(docker));
      return last.state === 'stopped' ? last : null;
    },
    { timeoutMs: SETTLE_TIMEOUT_MS, everyMs: 100 },
  );
  if (stopped !== null) return { outcome: 'stopped', proof: stopped.why };
  throw stepFailure('FenceFailed', `the server on ${dataDir} still runs: ${describeStatus(last)}`);
}

/** The container in which an attempt was ending a recovery: it stops like any server of ours, when it is the only one on the data. */
function isOnlyPrivate(holder: Container, own: Container | null): boolean {
  return isPrivate(holder) && (own === null || isDown(own));
}

/**
 * `docker stop` marks a container as stopped by hand, which all policies respect but one: `always` starts it again together with the engine, and a
 * stopped old primary would come back with the host. `unless-stopped` is the same policy without that.
 */
async function holdRestarts({ engine }: Docker, { name, restartPolicy }: Container): Promise<string> {
  if (restartPolicy !== 'always') return '';
  const said = await engine.run(setRestartPolicyArgs(name, 'unless-stopped'));
  const answer = await engine.readContainers();
  const now = answer.state === 'known' ? containerNamed(answer.containers, name)?.restartPolicy : undefined;
  if (now === 'unless-stopped') return '; its restart policy was always and is unless-stopped now';
  throw stepFailure('FenceFailed', `cannot keep container ${name} from being restarted: ${describeFailure(said)}`, {
    hint: `run \`docker update --restart unless-stopped ${name}\`, then \`pgr retry\``,
  });
}

async function start(docker: Docker): ReturnType<ServerRuntime['start']> {
  const container = await readStartable(docker);
  const since = new Date().toISOString();
  if (isUp(container)) return { outcome: 'already-running', pid: await waitUntilUp(docker, container, since) };
  const said = await docker.engine.run(startContainerArgs(container.name), START_TIMEOUT_MS);
  if (said.exitCode !== 0) await refuseFailedStart(docker, describeFailure(said));
  return { outcome: 'started', pid: await waitUntilUp(docker, container, since) };
}

/** The node's container when it is up already or may be started: it is the right one, and nobody else works or could work on its data. */
async function readStartable(docker: Docker): Promise<Container> {
  const { settings, node } = docker;
  const before = await look(docker);
  const { container } = before;
  if (before.problem !== null) {
    throw stepFailure('PreconditionFailed', `cannot tell what runs on ${node.dataDir}: ${before.problem}`);
  }
  if (container === null) {
    throw stepFailure('NotFound', `there is no container ${settings.container}`, {
      hint: 'boot it (`kamal accessory boot NAME`, `docker compose up`) or correct runtime.container, then `pgr retry`',
    });
  }
  await refuseOtherPlace(container, settings, node.dataDir);
  // An ended one of ours starts never again.
  refuseOtherHolders(
    before,
    before.holders.filter((holder) => !(isPrivate(holder) && isDown(holder))),
  );
  const status = statusOf(before);
  if (isUp(container) || status.state === 'stopped') return container;
  const why = status.state === 'unknown' ? status.why : `process ${String(status.pid)} works there`;
  throw stepFailure(
    'PreconditionFailed',
    `container ${container.name} is not the only one on ${node.dataDir}: ${why}`,
    {
      hint: 'stop what works there, then `pgr retry`',
    },
  );
}

/** The exit code is no proof either way: only a container that does not run has failed. */
async function refuseFailedStart(docker: Docker, said: string): Promise<void> {
  const { container } = await look(docker);
  if (container !== null && isUp(container)) return;
  const type = /port is already allocated|address already in use/.test(said) ? 'PortTaken' : 'CommandFailed';
  throw stepFailure(type, `container ${docker.settings.container} did not start: ${said}`);
}

async function waitUntilUp(docker: Docker, { name, restarts }: Container, since: string): Promise<number> {
  const { control, node } = docker;
  let last = 'not looked at yet';
  let looks = 0;
  const pid = await pollUntil(
    async () => {
      const seen = await control.readPostmaster(node.dataDir);
      last = seen.state === 'running' ? `pid ${String(seen.pid)}, ${seen.status ?? 'no status yet'}` : seen.why;
      if (seen.state === 'running' && (seen.status === 'ready' || seen.status === 'standby')) return seen.pid;
      // The engine is asked every so often only: each question is two processes.
      if (++looks % 10 === 0) await refuseEnded(docker, name, restarts, since);
      return null;
    },
    { timeoutMs: START_TIMEOUT_MS },
  );
  if (pid !== null) return pid;
  throw stepFailure('DatabaseUnavailable', `the server in container ${name} is not ready in time (${last})`, {
    hint: `it may still be in recovery: \`docker logs ${name}\``,
  });
}

async function refuseEnded({ engine }: Docker, name: string, restarts: number, since: string): Promise<void> {
  const answer = await engine.readContainers();
  if (answer.state === 'unknown') return;
  const now = containerNamed(answer.containers, name);
  if (now !== null && isUp(now) && now.restarts <= restarts) return;
  const log = await engine.run(containerLogArgs(name, since));
  const wrote = `${log.stdout}\n${log.stderr}`.trim().split('\n').slice(-8).join(' | ');
  const state = now === null ? 'is gone' : `is ${describeContainer(now)}`;
  throw stepFailure('CommandFailed', `container ${name} ${state}: ${wrote === '' ? 'it wrote nothing' : wrote}`, {
    hint: `read \`docker logs ${name}\`, then \`pgr retry\``,
  });
}

function isUp({ status }: Container): boolean {
  return status === 'running' || status === 'paused' || status === 'restarting';
}

function describeStatus(status: ServerStatus): string {
  return status.state === 'running' ? `pid ${String(status.pid)}` : status.why;
}
