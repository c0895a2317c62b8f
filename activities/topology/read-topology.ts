/** Everything about an environment in one look: all at once, so that the answers belong to one moment and the slowest one decides how long it takes. */
import type { Topology } from '../../shared/contracts/topology.js';
import type { ActivityDeps } from '../lib/deps.js';
import { environmentOf } from '../lib/environment-config.js';
import { askNode } from './ask-node.js';
import { askPoolers, askRouters } from './ask-routers.js';
import { contradictionsOf } from './contradictions.js';
import { describeNode, describeSlots, roleOf, type LookedAt } from './describe-node.js';
import { readHealth } from './node-health.js';
import { probeWriteAddress } from './write-probe.js';
import { describeWriteVip } from './write-vip.js';

/**
 * Changes nothing. A node, router or pooler that does not answer is part of the result; only an unknown environment or a password that cannot be
 * resolved is a failure.
 */
export function createReadTopology(deps: Pick<ActivityDeps, 'config' | 'resolveSecret' | 'routing' | 'poolers'>) {
  return async function readTopology(input: { environment: string; probe: boolean }): Promise<Topology> {
    const environment = environmentOf(deps.config, input.environment);
    const { user, database, password: reference } = environment.postgres;
    const password = reference === undefined ? null : await deps.resolveSecret(reference);
    const asked = environment.nodes.map((node) => {
      const look = askNode(node, { user, database, password });
      const health = readHealth(node, look.then(roleOf));
      return { node, look, health };
    });
    const [looks, healths, answers, routers, poolers] = await Promise.all([
      Promise.all(asked.map(async ({ node, look }): Promise<LookedAt> => ({ node, look: await look }))),
      Promise.all(asked.map(({ health }) => health)),
      probeWriteAddress(environment, password, input.probe),
      askRouters(deps, input.environment, environment),
      askPoolers(deps, input.environment, environment),
    ]);
    const seen = {
      environment: input.environment,
      writeVip: describeWriteVip(environment, answers, looks),
      nodes: looks.map((looked, index) => describeNode(looked, looks, healths[index] ?? null)),
      slots: describeSlots(looks),
      routers,
      poolers,
      archiver: archiverOf(looks),
    };
    const contradictions = contradictionsOf(seen);
    return {
      ...seen,
      contradictions: contradictions.map(({ text }) => text),
      advice: contradictions.map(({ advice }) => advice),
    };
  };
}

/** Of the first primary that archives; null when none does. */
function archiverOf(looks: readonly LookedAt[]): Topology['archiver'] {
  for (const { node, look } of looks) {
    if (look.outcome !== 'answered' || look.server.inRecovery || look.server.archiver.mode === 'off') continue;
    const { failing, lastArchived, lastFailed } = look.server.archiver;
    return { node: node.name, failing, lastArchived, lastFailed };
  }
  return null;
}
