/** What a container of ours is made of: the image, arguments, environment and mounts of the container of the node's own server. Pure but for the look. */
import { stepFailure } from '../lib/failure.js';
import type { RunAs } from '../lib/exec.js';
import type { NewContainer } from './commands.js';
import { canonicalPath, hostPathOf, isInside, type Container, type Mount } from './containers.js';
import type { DockerSettings } from './docker-node.js';

export type Template = Pick<Container, 'env' | 'mounts' | 'network' | 'serverProgram' | 'serverArgs'> & {
  image: string;
};

/** Marks a container as a private server of pgr; its value is the data directory on the host. */
export const PRIVATE_LABEL = 'pgr.private-server';

/** True for the containers in which pgr runs servers of its own. */
export function isPrivate({ labels }: Pick<Container, 'labels'>): boolean {
  return PRIVATE_LABEL in labels;
}

/** Variables that decide how a program is started; they hold no secrets, and the docker client must not see them as its own. */
const OPEN_ENV = /^(PATH|HOME|LANG|LC_\w+|TZ|LD_\w+|TMPDIR|PGDATA|GO\w+)$/;

/** The container of the node's server as a template, else the configured image alone. Throws PreconditionFailed when there is neither. */
export function templateOf(container: Container | null, settings: DockerSettings): Template {
  if (container !== null) return { ...container, image: container.imageId };
  if (settings.image === undefined) {
    throw stepFailure('PreconditionFailed', `there is no container ${settings.container} to take the image from`, {
      hint: 'create it (it need not run), or set runtime.image in the config; then `pgr retry`',
    });
  }
  return { image: settings.image, env: [], mounts: [], network: 'bridge', serverProgram: 'postgres', serverArgs: [] };
}

/** Environment of a container, split into what may be seen and what the client passes on. */
export function splitEnv(env: readonly string[]): { openEnv: string[]; passed: Record<string, string> } {
  const entries = env.map((line) => {
    const at = line.indexOf('=');
    return [line.slice(0, at), line.slice(at + 1)] as const;
  });
  const open = entries.filter(([name]) => OPEN_ENV.test(name));
  // What the client takes as its own settings would send it to another engine.
  const passed = entries.filter(([name]) => !OPEN_ENV.test(name) && !name.startsWith('DOCKER_'));
  return { openEnv: open.map(([name, value]) => `${name}=${value}`), passed: Object.fromEntries(passed) };
}

/** The same path inside and outside. */
export function sameMount(path: string): Mount {
  return { source: path, destination: path, writable: true };
}

/**
 * Mounts with which a server sees what the node's own server sees, and `dataDir` as its data. Where `dataDir` stands in its place these are simply the
 * mounts of the node's container; elsewhere nothing of the volume around the data is there (the engine would make a directory in the data's place).
 */
export async function productionMounts(template: Template, inner: string, dataDir: string): Promise<Mount[]> {
  const outer = hostPathOf(template, inner);
  if (outer !== null && (await canonicalPath(outer)) === (await canonicalPath(dataDir))) return template.mounts;
  const others = template.mounts.filter(({ destination }) => !isInside(inner, destination));
  return [...others, { source: dataDir, destination: inner, writable: true }];
}

/** What all containers of ours have in common. */
export function commonParts(
  image: string,
  owner: RunAs,
  dataDir: string,
): Pick<NewContainer, 'image' | 'user' | 'labels'> {
  return { image, user: `${String(owner.uid)}:${String(owner.gid)}`, labels: { [PRIVATE_LABEL]: dataDir } };
}
