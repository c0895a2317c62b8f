/** The container of a private server: its name, and how it is told from others. */
import path from 'node:path';

import { stepFailure } from '../lib/failure.js';
import type { PrivateServer } from '../lib/runtime.js';
import type { Container } from './containers.js';
import { containerNamed } from './docker-node.js';
import type { Docker } from './docker-runtime.js';
import { PRIVATE_LABEL } from './docker-template.js';

export type Known = Pick<PrivateServer, 'dataDir' | 'socketDir'>;

/** The name of the container of a private server: as unique as its socket directory. */
export function privateName({ socketDir }: Pick<PrivateServer, 'socketDir'>): string {
  return path.posix.basename(socketDir);
}

/** All containers. Throws PreconditionFailed when the engine does not answer. */
export async function readAll({ engine }: Docker, purpose: string): Promise<Container[]> {
  const answer = await engine.readContainers();
  if (answer.state === 'known') return answer.containers;
  throw stepFailure('PreconditionFailed', `cannot ${purpose}: docker does not answer: ${answer.why}`, {
    hint: 'start the engine or correct runtime.dockerHost, then `pgr retry`',
  });
}

/** The container of this private server. Throws IdentityMismatch when its name belongs to another container. */
export function ownContainer(containers: readonly Container[], server: Known): Container | null {
  const container = containerNamed(containers, privateName(server));
  if (container === null || container.labels[PRIVATE_LABEL] === server.dataDir) return container;
  throw stepFailure('IdentityMismatch', `container ${container.name} is not ours: it has no label ${PRIVATE_LABEL}`, {
    hint: `nothing was touched; find out whose it is and rename it, then \`pgr retry\``,
  });
}
