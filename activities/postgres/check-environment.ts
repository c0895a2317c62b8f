/** `pgr check`: everything that the next recovery needs, looked at while there is time to mend it. Changes nothing. */
import type { EvidenceCheck } from '../../shared/contracts/sandbox.js';
import type { ActivityDeps } from '../lib/deps.js';
import { environmentOf } from '../lib/environment-config.js';
import { checkArchiver, checkStore } from './checks/check-archive.js';
import { checkHeartbeat, checkRecord, checkSpace } from './checks/check-host.js';
import { checkNodes, checkPrimary } from './checks/check-nodes.js';

/** Rows in the order in which a person would look. What cannot be read is a row that is not ok. */
export function createCheckEnvironment(deps: ActivityDeps) {
  return async function checkEnvironment(input: { environment: string }): Promise<{ checks: EvidenceCheck[] }> {
    environmentOf(deps.config, input.environment);
    const { rows, primary } = await checkNodes(deps, input.environment);
    const now = new Date().toISOString().replace('Z', '000Z');
    const ofPrimary =
      primary === null
        ? []
        : await Promise.all([
            checkPrimary(deps, input.environment, primary),
            checkArchiver(deps, input.environment, primary),
            checkSpace(deps, input.environment, primary),
            checkHeartbeat(deps, input.environment, primary),
          ]);
    const ofStore = await checkStore(deps, input.environment, now);
    return { checks: [...rows, ...ofPrimary.flat(), ...ofStore, ...(await checkRecord(deps))] };
  };
}
