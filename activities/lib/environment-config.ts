/** Look-ups in the configuration that every area needs. Pure: they read the validated config and nothing else. */
import {
  MAIN_STORE,
  type Config,
  type DevConfig,
  type DumpSourceConfig,
  type EnvironmentConfig,
  type NodeConfig,
  type StoreConfig,
} from '../../config/schema.js';
import { stepFailure } from './failure.js';

/** The environment called `name`. Throws EnvironmentUnknown, naming those that there are. */
export function environmentOf(config: Config, name: string): EnvironmentConfig {
  const environment = Object.hasOwn(config.environments, name) ? config.environments[name] : undefined;
  if (environment !== undefined) return environment;
  const known = Object.keys(config.environments).sort();
  throw stepFailure(
    'EnvironmentUnknown',
    `there is no environment "${name}" in the config`,
    known.length > 0 ? { hint: `the config knows: ${known.join(', ')}` } : {},
  );
}

/** Names of the backup stores of an environment, the one that production archives to first. */
export function storeNamesOf(environment: EnvironmentConfig): string[] {
  return [MAIN_STORE, ...Object.keys(environment.otherBackups)];
}

/** The backup store called `store`; that of production when left out. Throws NotFound, naming those of the environment. */
export function storeConfigOf(environment: EnvironmentConfig, store: string = MAIN_STORE): StoreConfig {
  if (store === MAIN_STORE) return environment.backups;
  const found = Object.hasOwn(environment.otherBackups, store) ? environment.otherBackups[store] : undefined;
  if (found !== undefined) return found;
  throw stepFailure('NotFound', `there is no backup store "${store}" in the environment`, {
    hint: `its stores are: ${storeNamesOf(environment).join(', ')}`,
  });
}

/** What the config says about databases of developers. Throws ConfigInvalid when it says nothing. */
export function devOf(config: Config, name: string): DevConfig {
  const { dev } = environmentOf(config, name);
  if (dev !== undefined) return dev;
  throw stepFailure('ConfigInvalid', `environment ${name} says nothing about databases of developers`, {
    hint: 'add `dev` with sources, database and target to it; recovery.example.yaml shows how',
  });
}

/** The source of dumps called `source`. Throws NotFound, naming those that there are. */
export function dumpSourceOf(config: Config, name: string, source: string): DumpSourceConfig {
  const { sources } = devOf(config, name);
  const found = Object.hasOwn(sources, source) ? sources[source] : undefined;
  if (found !== undefined) return found;
  throw stepFailure('NotFound', `there is no source "${source}" in the environment`, {
    hint: `its sources are: ${Object.keys(sources).join(', ')}`,
  });
}

/** The node called `node`. Throws NotFound, naming those of the environment. */
export function nodeNamed(environment: EnvironmentConfig, node: string): NodeConfig {
  const found = environment.nodes.find((candidate) => candidate.name === node);
  if (found !== undefined) return found;
  throw stepFailure('NotFound', `there is no node "${node}" in the environment`, {
    hint: `its nodes are: ${environment.nodes.map((candidate) => candidate.name).join(', ')}`,
  });
}

/** The node of the environment that runs on `host`, null when none does. */
export function nodeOnHost(environment: EnvironmentConfig, host: string): NodeConfig | null {
  return environment.nodes.find((candidate) => candidate.host === host) ?? null;
}

/**
 * The node that the config lists first: the primary of a quiet day. It says nothing about who is primary now; that is read from
 * the servers. Used for places (where sandboxes go), never for a decision about data.
 */
function primaryNode(environment: EnvironmentConfig): NodeConfig {
  const [first] = environment.nodes;
  if (first === undefined) throw stepFailure('ConfigInvalid', 'the environment has no nodes');
  return first;
}

/** The host on which sandboxes live: `sandbox.host`, else that of {@link primaryNode}. */
export function sandboxHostOf(environment: EnvironmentConfig): string {
  return environment.sandbox.host ?? primaryNode(environment).host;
}

/**
 * Where sandboxes live on `host`: `sandbox.dir`, else `sandboxes` beside the data directory of the node there, so that a promotion
 * is a rename inside one file system.
 */
export function sandboxRootOf(environment: EnvironmentConfig, host: string): string {
  if (environment.sandbox.dir !== undefined) return environment.sandbox.dir;
  const { dataDir } = nodeOnHost(environment, host) ?? primaryNode(environment);
  return `${dataDir.replace(/\/+$/, '').replace(/\/[^/]*$/, '')}/sandboxes`;
}

/** The node whose programs and runtime sandboxes on `host` use: that of the host, else the first one. */
export function serverNodeFor(environment: EnvironmentConfig, host: string): NodeConfig {
  return nodeOnHost(environment, host) ?? primaryNode(environment);
}

/** Server programs for sandboxes on `host`. */
export function binDirFor(environment: EnvironmentConfig, host: string): string {
  return serverNodeFor(environment, host).binDir;
}
