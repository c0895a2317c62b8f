/** A node that docker runs: what the engine and the processes of the host say together, and the refusals that both lead to. */
import type { NodeConfig } from '../../config/schema.js';
import { stepFailure } from '../lib/failure.js';
import type { ServerStatus } from '../lib/runtime.js';
import { canonicalPath, holdersOf, hostPathOf, isDown, type Container } from './containers.js';
import type { Engine } from './docker-engine.js';
import type { ServerControl } from './process-runtime.js';

export type DockerSettings = Extract<NodeConfig['runtime'], { kind: 'docker' }>;

export type DockerNode = {
  /** Why the engine could not be asked; null when it answered. */
  problem: string | null;
  name: string;
  dataDir: string;
  /** Null: there is none of that name (when `problem` is null). */
  container: Container | null;
  /** Other containers that could run a server on the same data, whatever their state. */
  holders: Container[];
  /** What works in the data directory. */
  server: Awaited<ReturnType<ServerControl['readPostmaster']>>;
};

/** Asks the engine and the host; the processes last, so that a server which starts meanwhile is seen. */
export async function readDockerNode(
  engine: Engine,
  settings: DockerSettings,
  dataDir: string,
  readServer: () => Promise<DockerNode['server']>,
): Promise<DockerNode> {
  const answer = await engine.readContainers();
  const base = { name: settings.container, dataDir };
  if (answer.state === 'unknown') {
    return { ...base, problem: answer.why, container: null, holders: [], server: await readServer() };
  }
  const container = containerNamed(answer.containers, settings.container);
  const holders = await holdersOf(answer.containers, await canonicalPath(dataDir));
  return {
    ...base,
    problem: null,
    container,
    holders: holders.filter(({ name }) => name !== settings.container),
    server: await readServer(),
  };
}

export function containerNamed(containers: readonly Container[], name: string): Container | null {
  return containers.find((container) => container.name === name) ?? null;
}

/** `exited with code 0 at …`: for proofs and messages. */
export function describeContainer({ status, exitCode, finishedAt, error }: Container): string {
  if (status !== 'exited' && status !== 'dead') return status;
  return `${status} with code ${String(exitCode)} at ${finishedAt}${error === '' ? '' : ` (${error})`}`;
}

/**
 * What is true of the server. "Stopped" needs both: the engine says that the container does not run and no other one could, and no process works in
 * the data directory.
 */
export function statusOf(node: DockerNode): ServerStatus {
  const { server, container, name } = node;
  if (server.state === 'running') {
    const { pid, port, socketDir, status } = server;
    return { state: 'running', pid, port, socketDir, accepting: status === 'ready' && container?.status !== 'paused' };
  }
  if (node.problem !== null) return { state: 'unknown', why: `docker does not answer: ${node.problem}` };
  if (server.state === 'unknown') return server;
  if (container !== null && !isDown(container)) {
    return {
      state: 'unknown',
      why: `container ${name} is ${container.status}, and its server is not seen: ${server.why}`,
    };
  }
  const other = node.holders.find((holder) => !isDown(holder));
  if (other !== undefined)
    return { state: 'unknown', why: `container ${other.name} is ${other.status} on the same data` };
  const engine =
    container === null ? `there is no container ${name}` : `container ${name} is ${describeContainer(container)}`;
  return { state: 'stopped', why: `${engine}; ${server.why}; no other container runs on it` };
}

/** Throws IdentityMismatch unless the container keeps its PGDATA exactly where the config says that the node's data are. */
export async function refuseOtherPlace(container: Container, settings: DockerSettings, dataDir: string): Promise<void> {
  const inner = settings.containerDataDir;
  const { name, pgData } = container;
  if (pgData !== null && trimSlash(pgData) !== trimSlash(inner)) {
    throw stepFailure('IdentityMismatch', `container ${name} has PGDATA=${pgData}, the config says ${inner}`, {
      hint: 'nothing was touched; correct runtime.containerDataDir',
    });
  }
  const outer = hostPathOf(container, inner);
  if (outer === null) {
    throw stepFailure('IdentityMismatch', `container ${name} has no volume or bind mount at ${inner}`, {
      hint: 'nothing was touched; its data would vanish with the container: mount a directory of the host there',
    });
  }
  if ((await canonicalPath(outer)) === (await canonicalPath(dataDir))) return;
  throw stepFailure('IdentityMismatch', `the data of container ${name} are in ${outer}, the config says ${dataDir}`, {
    hint: 'nothing was touched; correct dataDir or runtime.container',
  });
}

/** Throws IdentityMismatch when another container holds the same data, naming both. */
export function refuseOtherHolders({ name, dataDir }: DockerNode, others: readonly Container[]): void {
  if (others.length === 0) return;
  const list = others.map((other) => `${other.name} (${other.status})`).join(', ');
  throw stepFailure('IdentityMismatch', `containers ${name} and ${list} have the same PGDATA ${dataDir}`, {
    hint: `nothing was touched; two servers on one PGDATA destroy it: remove the wrong container (\`docker rm\`), then \`pgr retry\``,
  });
}

function trimSlash(text: string): string {
  return text.replace(/\/+$/, '');
}
