/** The poolers of an environment. */
import type { Config } from '../../config/schema.js';
import type { ActivityDeps } from '../lib/deps.js';
import { notBuilt } from '../lib/not-built.js';
import type { Pooler } from '../lib/routing.js';

/** Poolers of the environments of a config. Throws EnvironmentUnknown. */
export function createPoolers(
  config: Config,
  resolveSecret: ActivityDeps['resolveSecret'],
): (environment: string) => Pooler[] {
  return notBuilt('poolers', config, resolveSecret);
}
