import type { TopologyRunInput } from '../shared/contracts/runs.js';
import type { Topology } from '../shared/contracts/topology.js';
import { interactive } from './lib/activity-proxies.js';
import { asRunFailure } from './lib/failures.js';

/** Who is who in an environment now: one look over the network, which needs no host's worker. Fails typed when it cannot look at all. */
export async function topology({ environment, probe }: TopologyRunInput): Promise<Topology> {
  try {
    return await interactive.readTopology({ environment, probe });
  } catch (error) {
    throw asRunFailure(error);
  }
}
