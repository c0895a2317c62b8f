/** The poolers of an environment. */
import type { Config, PoolerConfig } from '../../config/schema.js';
import type { ActivityDeps } from '../lib/deps.js';
import { environmentOf } from '../lib/environment-config.js';
import type { Pooler } from '../lib/routing.js';
import type { PoolerAddress } from './console.js';
import { openPgbouncer } from './pgbouncer.js';

/** Poolers of the environments of a config. Throws EnvironmentUnknown. */
export function createPoolers(
  config: Config,
  resolveSecret: ActivityDeps['resolveSecret'],
): (environment: string) => Pooler[] {
  return (name) => {
    const environment = environmentOf(config, name);
    return environment.poolers.map((pooler) => ({
      name: pooler.name,
      open: async (timeoutMs) => {
        const address = await addressOf(pooler, resolveSecret);
        return openPgbouncer({ address, config: pooler, servers: { environment, resolveSecret } }, timeoutMs);
      },
    }));
  };
}

/** With the password itself: for a connection, never for a message. */
export async function addressOf(
  pooler: PoolerConfig,
  resolveSecret: ActivityDeps['resolveSecret'],
): Promise<PoolerAddress> {
  const { name, address, port, user, password } = pooler;
  return { name, address, port, user, password: password === undefined ? null : await resolveSecret(password) };
}
