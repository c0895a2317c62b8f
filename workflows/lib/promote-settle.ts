/** The part of `promote` after writes work again: applications, fresh base, standbys, what was lost. */
import type { PromotionResult } from '../../shared/contracts/promotion.js';
import type { PromoteStep } from '../../shared/runbooks/promote.js';
import { secondsBetween } from '../../shared/target-time.js';
import { onHost, orchestrator } from './activity-proxies.js';
import { startApps, stopApps } from './apps.js';
import { nowIso, secondsSince } from './clock.js';
import { tellKeeper } from './keep-sandbox.js';
import { nodeInput } from './nodes.js';
import type { Change, Switched } from './promote-change.js';
import { rebuildStandbys } from './rebuild-standbys.js';
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
