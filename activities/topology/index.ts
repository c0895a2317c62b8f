/** What `pgr topology` reads. */
import type { OrchestratorActivities } from '../../shared/contracts/activities.js';
import type { ActivityDeps } from '../lib/deps.js';
import { createReadTopology } from './read-topology.js';

export function createTopologyActivities(deps: ActivityDeps): Pick<OrchestratorActivities, 'readTopology'> {
  return { readTopology: createReadTopology(deps) };
}
