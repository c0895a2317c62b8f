import { workflowInfo } from '@temporalio/workflow';

import type { TakeBaseResult } from '../shared/contracts/activities.js';
import type { TakeBaseRunInput } from '../shared/contracts/runs.js';
import { onHost, orchestrator } from './lib/activity-proxies.js';
import { asRunFailure, runFailure } from './lib/failures.js';

/** Takes one base into the store, from the named node or the first of the environment. It changes nothing else, so it has no gate. */
export async function takeBase({ environment, kind, node }: TakeBaseRunInput): Promise<TakeBaseResult> {
  const { workflowId, runId } = workflowInfo();
  try {
    const { nodes } = await orchestrator.readEnvironment({ environment });
    const source = node === undefined ? nodes[0] : nodes.find((one) => one.name === node);
    if (source === undefined) {
      const known = nodes.map((one) => one.name).join(', ');
      throw runFailure('NotFound', `environment ${environment} has no node ${node ?? ''}; it has ${known}`);
    }
    return await onHost(source.host).takeBase({ environment, node: source.name, run: workflowId, runId, kind });
  } catch (error) {
    throw asRunFailure(error);
  }
}
