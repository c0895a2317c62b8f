/** The part of `dump-promotion` after writes work: applications, the first base of the new cluster, standbys, what was lost. */
import type { PromotionResult } from '../../shared/contracts/promotion.js';
import type { DumpPromotionStep } from '../../shared/runbooks/dump-promotion.js';
import { onHost, orchestrator } from './activity-proxies.js';
import { startApps, stopApps } from './apps.js';
import { nowIso, secondsSince } from './clock.js';
import { FIRST_TIMELINE, type DumpChange } from './dump-promotion-change.js';
import { tellKeeper } from './keep-sandbox.js';
import { nodeInput, replaced } from './nodes.js';
import { rebuildStandbys } from './rebuild-standbys.js';
import type { Run } from './run.js';

/** Steps start-apps to report. */
export async function settleDump(
  run: Run<DumpPromotionStep>,
  change: DumpChange,
  writeOutageMs: number,
): Promise<PromotionResult> {
  const { context, plan, apps, input } = change;
  const { environment } = context;
  const lost = { until: plan.lostUntil, seconds: plan.lostSeconds ?? 0, commits: 0, exact: false };
  const measured = { writeOutageMs, rtoSeconds: secondsSince(input.requestedAt, nowIso()), rpoSeconds: lost.seconds };
  Object.assign(run.view.measured, measured);
  await run.step('start-apps', () => startApps(environment, apps), {
    undo: { step: 'stop-apps', title: 'Stop the applications', work: () => stopApps(environment, apps) },
  });
  await run.step('re-baseline', async () => {
    const resumed = await orchestrator.resumeBackups({ environment, run: context.run });
    const base = await onHost(plan.primary.host).rebaseline(nodeInput(context, replaced(plan.primary)));
    return { resumed, base };
  });
  const rebuilt = await rebuildStandbys(run, context, plan);
  const behind = plan.standbys.filter(({ name }) => !rebuilt.includes(name));
  const leftBehind = behind.map(({ name }) => name);
  if (behind.length > 0) {
    // A rebuild refuses data of another cluster: they have to be out of its way.
    run.view.next = behind.flatMap(({ name, dataDir }) => [
      `mv ${dataDir} ${dataDir}.old-cluster`,
      `pgr rebuild-standby ${environment} ${name} --method full`,
    ]);
  }
  return run.step('report', async () => {
    await onHost(input.ref.host).finishPromotion({ ref: input.ref });
    await tellKeeper(input.ref);
    return {
      outcome: 'promoted' as const,
      run: context.run,
      runId: context.runId,
      environment,
      plan,
      recovery: null,
      dump: input.dump,
      timeline: FIRST_TIMELINE,
      rebuilt,
      leftBehind,
      measured,
      lost,
    };
  });
}
