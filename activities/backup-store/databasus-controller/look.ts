/** What is there of a controller: its container, its key, and what answers at its address. Reads only. */
import { realpath } from 'node:fs/promises';

import type { ContainerEngine, SeenContainer } from '../../lib/containers.js';
import { isFailureOf, stepFailure } from '../../lib/failure.js';
import { listDatabases, listWorkspaces } from '../databasus-api/api.js';
import type { Http } from '../databasus-api/http.js';
import type { DatabaseRow } from '../databasus-api/schemas.js';
import type { Session } from '../databasus-api/session.js';
import { hasAdminPassword, listStorages, type StorageRow } from './admin-api.js';
import { INNER_DATA_DIR } from './container-commands.js';
import type { ControllerSettings } from './settings.js';

/** The container of the config's name, null when the engine has none. Throws PreconditionFailed when the engine does not answer. */
export async function findContainer(engine: ContainerEngine, name: string): Promise<SeenContainer | null> {
  const answer = await engine.readContainers();
  if (answer.state === 'unknown') {
    throw stepFailure('PreconditionFailed', `cannot tell whether container ${name} is there: ${answer.why}`, {
      hint: 'install the docker command on the controller host, start its engine, let the worker use it',
    });
  }
  return answer.containers.find((container) => container.name === name) ?? null;
}

/** Throws IdentityMismatch when the name is taken by something that is not the controller of the config. */
export async function requireOurContainer(
  container: SeenContainer,
  { image, dataDir }: Pick<ControllerSettings['controller'], 'image' | 'dataDir'>,
): Promise<void> {
  const mount = container.mounts.find(({ destination }) => destination === INNER_DATA_DIR);
  const source = mount === undefined ? null : await canonical(mount.source);
  const wrong = [
    ...(container.image === image ? [] : [`its image is ${container.image}, not ${image}`]),
    ...(source === (await canonical(dataDir))
      ? []
      : [`${INNER_DATA_DIR} is ${source ?? 'not a mount'}, not ${dataDir}`]),
  ];
  if (wrong.length === 0) return;
  throw stepFailure(
    'IdentityMismatch',
    `the name ${container.name} is taken by another container: ${wrong.join('; ')}`,
    {
      hint: 'nothing was touched; rename or remove that container, or correct backups.controller in the config',
    },
  );
}

/** The failure for an address at which something else answers than the container of the config. */
export function strangerAt(url: string, { container, host }: { container: string; host: string }): Error {
  return stepFailure(
    'IdentityMismatch',
    `a controller answers at ${url}, and container ${container} does not run on host ${host}: it is another one`,
    {
      hint: 'nothing was touched; if that controller is alive nothing has to be restored, else correct backups.url or backups.controller',
    },
  );
}

async function canonical(dir: string): Promise<string> {
  return realpath(dir).catch(() => dir.replace(/\/+$/, ''));
}

export type ApiState =
  | { state: 'silent'; why: string }
  | { state: 'fresh' }
  | { state: 'ours'; databases: DatabaseRow[]; storages: StorageRow[]; workspaces: string[] };

/** What answers at the address. Throws CredentialsRefused for a controller that does not take the admin password of the config. */
export async function lookAtApi(http: Http, admin: Session): Promise<ApiState> {
  try {
    if (!(await hasAdminPassword(http))) return { state: 'fresh' };
  } catch (error) {
    if (isFailureOf(error, 'StoreUnavailable')) return { state: 'silent', why: error.message };
    throw error;
  }
  const workspaces = await listWorkspaces(admin);
  const lists = await Promise.all(
    workspaces.map(async ({ id }) => ({
      databases: await listDatabases(admin, id),
      storages: await listStorages(admin, id),
    })),
  );
  return {
    state: 'ours',
    workspaces: workspaces.map(({ name }) => name),
    databases: lists.flatMap(({ databases }) => databases),
    storages: lists.flatMap(({ storages }) => storages),
  };
}
