/** Every router of an environment keeps writes from a node, or lets its health checks decide again. Needs only the network; may be repeated. */
import type { FenceOldPrimaryInput, FenceOldPrimaryResult } from '../../../shared/contracts/flip.js';
import type { ActivityDeps } from '../../lib/deps.js';
import { environmentOf, nodeNamed } from '../../lib/environment-config.js';
import { errorText } from './error-text.js';

const OPEN_TIMEOUT_MS = 5_000;

/** What a router says is no proof that the node takes no writes (clients may know its address), so it is said as what it is. */
export function createFenceRouting(deps: ActivityDeps) {
  return async function fenceRouting(input: FenceOldPrimaryInput): Promise<FenceOldPrimaryResult> {
    nodeNamed(environmentOf(deps.config, input.environment), input.node);
    const routing = deps.routing(input.environment);
    if (routing.kind === 'multihost') return { outcome: 'not-proven', proof: [], failed: [...routing.limits] };
    try {
      const session = await routing.open(OPEN_TIMEOUT_MS);
      try {
        await session.fence(input.node);
      } finally {
        await session.close();
      }
      return { outcome: 'not-proven', proof: [`${routing.label} sends nothing to ${input.node}`], failed: [] };
    } catch (error) {
      return { outcome: 'not-proven', proof: [], failed: [`${routing.label}: ${errorText(error)}`] };
    }
  };
}

/** Throws RoutingUnavailable. */
export function createReleaseRouting(deps: ActivityDeps) {
  return async function releaseRouting(input: FenceOldPrimaryInput): Promise<{ outcome: 'released' }> {
    nodeNamed(environmentOf(deps.config, input.environment), input.node);
    const session = await deps.routing(input.environment).open(OPEN_TIMEOUT_MS);
    try {
      await session.release(input.node);
    } finally {
      await session.close();
    }
    return { outcome: 'released' };
  };
}
