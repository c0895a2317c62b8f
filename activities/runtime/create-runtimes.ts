/** Chooses the runtime of a node by `runtime.kind` of its config. */
import type { Config, NodeConfig } from '../../config/schema.js';
import { environmentOf, nodeNamed } from '../lib/environment-config.js';
import type { NodeRuntime } from '../lib/runtime.js';
import { createDockerRuntime } from './docker-runtime.js';
import { createProcessRuntime, type ServerControl } from './process-runtime.js';
import { createSystemdRuntime } from './systemd-runtime.js';

const RUNTIMES = {
  process: createProcessRuntime,
  docker: createDockerRuntime,
  systemd: createSystemdRuntime,
} satisfies Record<NodeConfig['runtime']['kind'], unknown>;

/** Runtimes of the nodes of a config. Throws EnvironmentUnknown or NotFound for names that it does not have. */
export function createRuntimes(
  config: Config,
  control: ServerControl,
): (environment: string, node: string) => NodeRuntime {
  return (environmentName, nodeName) => {
    const environment = environmentOf(config, environmentName);
    const node = nodeNamed(environment, nodeName);
    return RUNTIMES[node.runtime.kind](environment, node, control);
  };
}
