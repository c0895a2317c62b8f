/** Chooses the routing provider of an environment by `routing.kind` of its config. */
import type { Config } from '../../config/schema.js';
import type { ActivityDeps } from '../lib/deps.js';
import { notBuilt } from '../lib/not-built.js';
import type { RoutingProvider } from '../lib/routing.js';

/** Providers of the environments of a config. Throws EnvironmentUnknown. */
export function createRouting(
  config: Config,
  resolveSecret: ActivityDeps['resolveSecret'],
): (environment: string) => RoutingProvider {
  return notBuilt('routing', config, resolveSecret);
}
