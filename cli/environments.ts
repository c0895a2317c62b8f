import type { EnvironmentConfig } from '../config/schema.js';
import { PgrFailure } from '../shared/pgr-failure.js';
import type { CliContext, LoadedConfig } from './context.js';

export type NamedEnvironment = LoadedConfig & { name: string; environment: EnvironmentConfig };

/** The environment called `name`. Throws EnvironmentUnknown, naming those that there are. */
export async function requireEnvironment(context: CliContext, name: string): Promise<NamedEnvironment> {
  const loaded = await context.config();
  const { environments } = loaded.config;
  const environment = Object.hasOwn(environments, name) ? environments[name] : undefined;
  if (environment !== undefined) return { ...loaded, name, environment };
  const known = Object.keys(environments).sort();
  throw new PgrFailure('EnvironmentUnknown', `there is no environment ${name} in ${loaded.path}`, {
    hint: known.length > 0 ? `it knows ${known.join(', ')}` : 'it knows none yet; see recovery.example.yaml',
    next: ['pgr config show'],
  });
}

/** A node that a person named. Throws NotFound with the nodes that there are. */
export function requireNode(env: string, { nodes }: EnvironmentConfig, node: string): void {
  if (nodes.some(({ name }) => name === node)) return;
  throw new PgrFailure('NotFound', `environment ${env} has no node ${node}`, {
    hint: `its nodes are ${nodes.map(({ name }) => name).join(', ')}`,
    next: [`pgr topology ${env}`],
  });
}
