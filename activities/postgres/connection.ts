/** Sessions with the nodes of an environment, addressed as the config names them. */
import type pg from 'pg';

import type { ActivityDeps } from '../lib/deps.js';
import { withClient, type ClientOptions, type DatabaseAddress } from '../lib/database.js';
import { environmentOf, nodeNamed } from '../lib/environment-config.js';

export { withClient, type ClientOptions, type DatabaseAddress } from '../lib/database.js';

export type NodeConnectionOptions = Partial<Omit<ClientOptions, 'host' | 'port' | 'user' | 'password'>>;

/** Where and as whom a node of the config is reached; resolves the password reference. */
async function nodeAddress(
  deps: Pick<ActivityDeps, 'config' | 'resolveSecret'>,
  environmentName: string,
  nodeName: string,
): Promise<DatabaseAddress> {
  const environment = environmentOf(deps.config, environmentName);
  const node = nodeNamed(environment, nodeName);
  const { user, database, password } = environment.postgres;
  return {
    host: node.address,
    port: node.port,
    user,
    database,
    password: password === undefined ? null : await deps.resolveSecret(password),
  };
}

/** As whom pg_rewind reads the files of a node over an ordinary session. */
export const sourceAddress = nodeAddress;

/** The same for replication (bases and standbys): the replication role when the config names one. */
export async function replicationAddress(
  deps: Pick<ActivityDeps, 'config' | 'resolveSecret'>,
  environmentName: string,
  nodeName: string,
): Promise<DatabaseAddress> {
  const address = await nodeAddress(deps, environmentName, nodeName);
  const { replicationUser, replicationPassword } = environmentOf(deps.config, environmentName).postgres;
  if (replicationUser === undefined) return address;
  return {
    ...address,
    user: replicationUser,
    password: replicationPassword === undefined ? null : await deps.resolveSecret(replicationPassword),
  };
}

/** Opens a session with one node, hands it to `work` and closes it. Errors as {@link withClient}. */
export async function connectNode<T>(
  deps: Pick<ActivityDeps, 'config' | 'resolveSecret'>,
  environmentName: string,
  nodeName: string,
  options: NodeConnectionOptions,
  work: (client: pg.Client) => Promise<T>,
): Promise<T> {
  const address = await nodeAddress(deps, environmentName, nodeName);
  return withClient({ ...address, ...options }, work);
}
