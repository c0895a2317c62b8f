/** The last change of both promotions: the standbys follow the new primary. */
import type { PlannedNode, RebuildStandbyResult } from '../../shared/contracts/promotion.js';
import { onHost } from './activity-proxies.js';
import { nodeInput } from './nodes.js';
import type { Change } from './promote-change.js';
import type { Run } from './run.js';

/** Step rebuild-standby: every standby of the plan, from its primary. Returns the names of those that were made anew, also before a failure that was skipped. */
export async function rebuildStandbys(
  run: Pick<Run<'rebuild-standby'>, 'step'>,
  context: Change['context'],
  plan: { primary: PlannedNode; standbys: readonly PlannedNode[] },
): Promise<string[]> {
  const rebuilt: Record<string, RebuildStandbyResult> = {};
  await run.step(
    'rebuild-standby',
    async () => {
      for (const node of plan.standbys) {
        const input = { ...nodeInput(context, node), from: plan.primary.name };
        rebuilt[node.name] = await onHost(node.host).rebuildStandby(input);
      }
      return { ...rebuilt };
    },
    {
      undo: {
        step: 'return-standby-data',
        title: 'Put the data of the standbys back',
        work: () => returnStandbys(context, plan.standbys),
      },
      // The environment is whole without them, and those that were rebuilt before the failure count.
      whenSkipped: () => ({ ...rebuilt }),
    },
  );
  return Object.keys(rebuilt);
}

/** A standby whose old data are in place already (its rebuild never began) is left as it is by each of the three. */
async function returnStandbys(context: Change['context'], standbys: readonly PlannedNode[]): Promise<unknown> {
  const results: Record<string, unknown> = {};
  for (const node of standbys) {
    const host = onHost(node.host);
    const input = nodeInput(context, node);
    const fenced = await host.fenceNode(input);
    const swappedOut = await host.swapOut(input);
    const returned = await host.returnOldData(input);
    results[node.name] = { fenced, swappedOut, returned };
  }
  return results;
}
