/** What all parts of one flip share: the plan, the nodes as the config has them, the clock of its phases. */
import path from 'node:path';

import type { EnvironmentConfig, NodeConfig } from '../../../config/schema.js';
import type { FlipInput, FlipNode, FlipPhase, FlipPlan } from '../../../shared/contracts/flip.js';
import type { ActivityDeps } from '../../lib/deps.js';
import { environmentOf, nodeNamed } from '../../lib/environment-config.js';
import { stepFailure } from '../../lib/failure.js';
import type { NodeRuntime } from '../../lib/runtime.js';
import { requireThisHost } from '../promotion/node-place.js';

export type Flip = {
  deps: ActivityDeps;
  input: FlipInput;
  plan: FlipPlan;
  environment: EnvironmentConfig;
  from: NodeConfig;
  to: NodeConfig;
  /** The server of the old primary; null in a failover, whose host is not this one. */
  oldRuntime: NodeRuntime | null;
  stopTimeoutMs: number;
  phases: PhaseClock;
  notes: string[];
};

type PhaseClock = { mark(name: string): void; list(): FlipPhase[] };

/** Milliseconds since it was made. */
function createPhaseClock(): PhaseClock {
  const startedAt = performance.now();
  const phases: FlipPhase[] = [];
  return {
    mark: (name) => {
      phases.push({ name, atMs: Math.round((performance.now() - startedAt) * 10) / 10 });
    },
    list: () => phases,
  };
}

/**
 * Checks that this host is the one of the plan and that the config still says what the plan said. Throws IdentityMismatch; nothing was touched.
 */
export function flipContext(deps: ActivityDeps, input: FlipInput): Flip {
  const { plan } = input;
  const environment = environmentOf(deps.config, input.environment);
  const from = plannedNode(environment, plan.from);
  const to = plannedNode(environment, plan.to);
  requireThisHost(plan.failover ? to : from);
  return {
    deps,
    input,
    plan,
    environment,
    from,
    to,
    oldRuntime: plan.failover ? null : deps.runtime(input.environment, from.name),
    stopTimeoutMs: environment.flip.stopTimeout * 1_000,
    phases: createPhaseClock(),
    notes: [],
  };
}

function plannedNode(environment: EnvironmentConfig, planned: FlipNode): NodeConfig {
  const node = nodeNamed(environment, planned.name);
  if (node.host === planned.host && path.resolve(node.dataDir) === path.resolve(planned.dataDir)) return node;
  throw stepFailure('IdentityMismatch', `the config says something else about ${planned.name} than the plan`, {
    hint: 'nothing was touched; abort and start again',
  });
}
