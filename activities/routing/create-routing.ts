/** Chooses the routing provider of an environment by `routing.kind` of its config. */
import type { Config } from '../../config/schema.js';
import type { ActivityDeps } from '../lib/deps.js';
import { environmentOf } from '../lib/environment-config.js';
import type { RoutingProvider } from '../lib/routing.js';
import { createHaproxyRouting } from './haproxy.js';
import { createMultihostRouting } from './multihost-routing.js';

/** Providers of the environments of a config. Throws EnvironmentUnknown. */
export function createRouting(
  config: Config,
  resolveSecret: ActivityDeps['resolveSecret'],
): (environment: string) => RoutingProvider {
  return (name) => {
    const environment = environmentOf(config, name);
    const { routing, nodes, postgres } = environment;
    if (routing.kind === 'haproxy') {
      return createHaproxyRouting(
        routing,
        nodes.map((node) => node.name),
      );
    }
    const { password } = postgres;
    return createMultihostRouting(environment, () =>
      password === undefined ? Promise.resolve(null) : resolveSecret(password),
    );
  };
}
