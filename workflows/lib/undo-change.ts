/** Steps stop-apps to start-apps of `undo`, with what an abort of the undo puts back. */
import type { AppFacts } from '../../shared/contracts/environment.js';
import type { PromotionResult, UndoPlan } from '../../shared/contracts/promotion.js';
import type { UndoInput } from '../../shared/contracts/runs.js';
import type { UndoStep } from '../../shared/runbooks/undo.js';
import { onHost, orchestrator } from './activity-proxies.js';
import { startApps, stopApps } from './apps.js';
import { nowIso, secondsSince } from './clock.js';
import { eachNode, nodeInput, replaced, type NodeContext } from './nodes.js';
import type { Run } from './run.js';

export type UndoChange = { input: UndoInput; plan: UndoPlan; apps: AppFacts[]; thisRun: string };

/** Everything between approval and report; measures how long nobody could write. */
export async function putBack(run: Run<UndoStep>, change: UndoChange): Promise<PromotionResult['measured']> {
  const { input, plan, apps } = change;
  const { environment } = input;
  const { primary } = plan;
  await run.step('stop-apps', () => stopApps(environment, apps), {
    undo: { step: 'start-apps', title: 'Start the applications', work: () => startApps(environment, apps) },
  });
  const fencedAt = Date.now();
  await swapBack(run, change);
  await run.step('start-primary', () => onHost(primary.host).startNode(nodeInput(contextOf(change), primary)));
  await run.step(
    'start-standbys',
    () => eachNode(plan.standbys, (node) => onHost(node.host).startNode(nodeInput(contextOf(change), node))),
    {
      whenSkipped: () => ({}),
    },
  );
  await run.step('verify-writes', () =>
    orchestrator.verifyWrites({
      environment,
      expectNode: primary.name,
      expectTimeline: input.promotion.plan.primary.timeline,
    }),
  );
  const measured = {
    writeOutageMs: Date.now() - fencedAt,
    rtoSeconds: secondsSince(input.requestedAt, nowIso()),
    rpoSeconds: 0,
  };
  Object.assign(run.view.measured, measured);
  await run.step('start-apps', () => startApps(environment, apps), {
    undo: { step: 'stop-apps', title: 'Stop the applications', work: () => stopApps(environment, apps) },
  });
  return measured;
}

async function swapBack(run: Run<UndoStep>, change: UndoChange): Promise<void> {
  const { input, plan } = change;
  const context = contextOf(change);
  const nodes = [plan.primary, ...plan.standbys];
  // A standby that was not rebuilt still holds data of the old cluster.
  const { rebuilt } = input.promotion;
  const promoted = nodes.map((node) => (node === plan.primary || rebuilt.includes(node.name) ? replaced(node) : node));
  await run.step(
    'fence-new-cluster',
    () => eachNode(nodes, (node) => onHost(node.host).fenceNode(nodeInput(context, node))),
    {
      undo: {
        step: 'start-new-cluster',
        title: 'Start the promoted cluster',
        work: () => eachNode(promoted, (node) => onHost(node.host).startNode(nodeInput(context, node))),
      },
    },
  );
  await run.step('swap-out', () => eachNode(nodes, (node) => onHost(node.host).swapOut(nodeInput(context, node))), {
    undo: {
      step: 'swap-in',
      title: 'Swap the promoted data in again',
      work: () =>
        eachNode(nodes, (node) =>
          onHost(node.host).swapIn({ ...nodeInput(context, node), ref: input.promotion.plan.ref }),
        ),
    },
  });
  await run.step(
    'return-old-data',
    () => eachNode(nodes, (node) => onHost(node.host).returnOldData(nodeInput(context, node))),
    {
      undo: {
        step: 'keep-old-data',
        title: 'Keep the old data aside again',
        work: () => eachNode(nodes, (node) => onHost(node.host).keepOldData(nodeInput(context, node))),
      },
    },
  );
  const { environment, promotion } = input;
  await run.step('abandon-timeline', async () => {
    // Timeline 1 of a restored dump was never in this archive: marked there, it would be the old cluster's own.
    if (promotion.dump !== undefined) return { outcome: 'not-needed' as const };
    return orchestrator.abandonTimeline({ environment, timeline: promotion.timeline, run: change.thisRun });
  });
}

/** Kept data are named for the promote run. */
function contextOf({ input }: UndoChange): NodeContext {
  return { environment: input.environment, run: input.promotion.run, runId: input.promotion.runId };
}
