/** The part of `dump-promotion` in which nobody can write: from stopping the applications to writes that were seen to work. */
import type { AppFacts } from '../../shared/contracts/environment.js';
import type { DumpPromotionPlan } from '../../shared/contracts/promotion.js';
import type { PromoteDumpInput } from '../../shared/contracts/runs.js';
import type { DumpPromotionStep } from '../../shared/runbooks/dump-promotion.js';
import { onHost, orchestrator } from './activity-proxies.js';
import { startApps, stopApps } from './apps.js';
import { eachNode, nodeInput, replaced, startAgain, type NodeContext } from './nodes.js';
import type { Run } from './run.js';

export type DumpChange = { input: PromoteDumpInput; context: NodeContext; plan: DumpPromotionPlan; apps: AppFacts[] };

/** initdb begins with it, and a dump brings no history. */
export const FIRST_TIMELINE = 1;

/** Steps stop-apps to verify-writes; returns for how long nobody could write since the old cluster was stopped, in ms. */
export async function replaceByDump(run: Run<DumpPromotionStep>, change: DumpChange): Promise<number> {
  await quiesce(run, change);
  const fencedAt = Date.now();
  await fence(run, change);
  await swap(run, change);
  await start(run, change);
  return Date.now() - fencedAt;
}

async function quiesce(run: Run<DumpPromotionStep>, { context, apps }: DumpChange): Promise<void> {
  const { environment, run: runName } = context;
  await run.step('stop-apps', () => stopApps(environment, apps), {
    undo: { step: 'start-apps', title: 'Start the applications', work: () => startApps(environment, apps) },
  });
  await run.step('pause-backups', () => orchestrator.pauseBackups({ environment, run: runName }), {
    undo: {
      step: 'resume-backups',
      title: 'Resume backups',
      work: () => orchestrator.resumeBackups({ environment, run: runName }),
    },
  });
}

/** The primary is down already, or was started behind our back; a standby is stopped too, so that nobody promotes it. */
async function fence(run: Run<DumpPromotionStep>, { context, plan }: DumpChange): Promise<void> {
  const nodes = [plan.primary, ...plan.standbys];
  await run.step(
    'fence-old-cluster',
    () => eachNode(nodes, (node) => onHost(node.host).fenceNode(nodeInput(context, node))),
    {
      undo: {
        step: 'start-old-cluster',
        title: 'Start the old standbys',
        work: () => eachNode(nodes, (node) => startAgain(context, node)),
      },
    },
  );
}

async function swap(run: Run<DumpPromotionStep>, { input, context, plan }: DumpChange): Promise<void> {
  const { primary } = plan;
  const host = onHost(primary.host);
  const node = nodeInput(context, primary);
  await run.step('keep-old-data', () => host.keepOldData(node), {
    undo: { step: 'return-old-data', title: 'Put the old data back', work: () => host.returnOldData(node) },
  });
  await run.step('swap-in', () => host.swapInDump({ ...node, ref: input.ref, plan: input.dump }), {
    // Its archive is its own: no timeline of it stands among those of the old cluster.
    undo: { step: 'swap-out', title: 'Set the restored cluster aside', work: () => host.swapOut(node) },
  });
}

async function start(run: Run<DumpPromotionStep>, { context, plan }: DumpChange): Promise<void> {
  const { primary } = plan;
  const { environment } = context;
  const host = onHost(primary.host);
  const node = nodeInput(context, replaced(primary));
  await run.step('start-primary', () => host.startNode(node), {
    undo: {
      step: 'stop-new-primary',
      title: 'Stop the new primary',
      work: () => host.fenceNode(nodeInput(context, primary)),
    },
  });
  await run.step('verify-writes', () =>
    orchestrator.verifyWrites({ environment, expectNode: primary.name, expectTimeline: FIRST_TIMELINE }),
  );
}
