/** Chooses the runtime of a node by `runtime.kind` of its config. */
import type { Config, EnvironmentConfig, NodeConfig } from '../../config/schema.js';
import { environmentOf, nodeNamed } from '../lib/environment-config.js';
import type { NodeRuntime, ServerRuntime } from '../lib/runtime.js';
import { createDockerRuntime, dockerOf } from './docker-runtime.js';
import { createDockerServers } from './docker-servers.js';
import { createProcessRuntime, type ServerControl } from './process-runtime.js';
import { createProcessServers } from './process-servers.js';
import { createSystemdRuntime } from './systemd-runtime.js';

const RUNTIMES = {
  process: createProcessRuntime,
  docker: createDockerRuntime,
  systemd: createSystemdRuntime,
} satisfies Record<
  NodeConfig['runtime']['kind'],
  (environment: EnvironmentConfig, node: NodeConfig, control: ServerControl) => ServerRuntime
>;

/** Runtimes of the nodes of a config. Throws EnvironmentUnknown or NotFound for names that it does not have. */
export function createRuntimes(
  config: Config,
  control: ServerControl,
): (environment: string, node: string) => NodeRuntime {
  return (environmentName, nodeName) => {
    const environment = environmentOf(config, environmentName);
    const node = nodeNamed(environment, nodeName);
    const servers =
      node.runtime.kind === 'docker'
        ? createDockerServers(dockerOf(node, control))
        : createProcessServers(node, control);
    return { ...RUNTIMES[node.runtime.kind](environment, node, control), servers };
  };
}
