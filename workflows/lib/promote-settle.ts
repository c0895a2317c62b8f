/** The part of `promote` after writes work again: applications, fresh base, standbys, what was lost. */
import type { PlannedNode, PromotionResult, RebuildStandbyResult } from '../../shared/contracts/promotion.js';
import type { PromoteStep } from '../../shared/runbooks/promote.js';
import { secondsBetween } from '../../shared/target-time.js';
import { onHost, orchestrator } from './activity-proxies.js';
import { startApps, stopApps } from './apps.js';
import { nowIso, secondsSince } from './clock.js';
import { tellKeeper } from './keep-sandbox.js';
import { nodeInput } from './nodes.js';
import type { Change, Switched } from './promote-change.js';
import type { Run } from './run.js';

/** Steps start-apps to report. */
export async function settleProduction(
  run: Run<PromoteStep>,
  change: Change,
  switched: Switched,
): Promise<PromotionResult> {
  const { context, plan, apps, input } = change;
  const { environment } = context;
  const lost = lostOf(change, switched);
  const measured = {
    writeOutageMs: switched.writeOutageMs,
    rtoSeconds: secondsSince(input.requestedAt, nowIso()),
    rpoSeconds: lost.seconds,
  };
  Object.assign(run.view.measured, measured);
  await run.step('start-apps', () => startApps(environment, apps), {
    undo: { step: 'stop-apps', title: 'Stop the applications', work: () => stopApps(environment, apps) },
  });
  await run.step('re-baseline', async () => {
    const resumed = await orchestrator.resumeBackups({ environment, run: context.run });
    const base = await onHost(plan.primary.host).rebaseline(nodeInput(context, plan.primary));
    return { resumed, base };
  });
  const rebuilt = await rebuildStandbys(run, context, plan);
  return run.step('report', async () => {
    await onHost(input.ref.host).finishPromotion({ ref: input.ref });
    // A sandbox that goes from its recovery straight into production never had a keeper.
    if (!change.byParent) await tellKeeper(input.ref);
    return {
      outcome: 'promoted' as const,
      run: context.run,
      runId: context.runId,
      environment,
      plan,
      recovery: input.recovery,
      timeline: switched.timeline,
      rebuilt,
      measured,
      lost,
    };
  });
}

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

/** What production gave up: commits after the boundary until its last one, as the captured tail of the archive shows it. */
function lostOf({ input, plan }: Change, { tail }: Switched): PromotionResult['lost'] {
  const { lost, boundary } = input.recovery;
  const tailEnd = tail.outcome === 'captured' ? (tail.lastCommit?.time ?? null) : null;
  const until = tailEnd ?? plan.lostUntil ?? lost.until;
  const from = boundary.kept?.time ?? null;
  const seconds = until === null || from === null ? lost.seconds : Math.max(0, secondsBetween(from, until));
  // Commits were counted when the plan was made; production went on committing after that.
  return { until, seconds, commits: lost.commits, exact: lost.exact && until === lost.until };
}
