/** The part of `promote` in which nobody can write: from stopping the applications to writes that were seen to work again. */
import type { AppFacts } from '../../shared/contracts/environment.js';
import type { CaptureTailResult, EndRecoveryResult, PromotionPlan } from '../../shared/contracts/promotion.js';
import type { PromoteInput } from '../../shared/contracts/runs.js';
import type { PromoteStep } from '../../shared/runbooks/promote.js';
import { onHost, orchestrator } from './activity-proxies.js';
import { startApps, stopApps } from './apps.js';
import { eachNode, nodeInput, type NodeContext } from './nodes.js';
import type { Run } from './run.js';

export type Change = {
  input: PromoteInput;
  context: NodeContext;
  plan: PromotionPlan;
  apps: AppFacts[];
  /** True when the recovery that made the sandbox runs this as its child. */
  byParent: boolean;
};
export type Switched = { tail: CaptureTailResult; timeline: number; writeOutageMs: number };

/** Steps stop-apps to verify-writes. */
export async function replaceProduction(run: Run<PromoteStep>, change: Change): Promise<Switched> {
  const { environment } = change.context;
  const { primary } = change.plan;
  const tail = await quiesce(run, change);
  const fencedAt = Date.now();
  await fence(run, change);
  await keepOldData(run, change);
  const recovery = await swapIn(run, change);
  await run.step('start-primary', () => onHost(primary.host).startNode(nodeInput(change.context, primary)), {
    undo: {
      step: 'stop-new-primary',
      title: 'Stop the new primary',
      work: () => onHost(primary.host).fenceNode(nodeInput(change.context, primary)),
    },
  });
  await run.step('verify-writes', () =>
    orchestrator.verifyWrites({ environment, expectNode: primary.name, expectTimeline: recovery.timeline }),
  );
  return { tail, timeline: recovery.timeline, writeOutageMs: Date.now() - fencedAt };
}

async function quiesce(run: Run<PromoteStep>, { context, plan, apps }: Change): Promise<CaptureTailResult> {
  const { environment, run: runName } = context;
  run.notices.productionDown('its data are replaced by the recovered ones');
  await run.step('stop-apps', () => stopApps(environment, apps), {
    undo: { step: 'start-apps', title: 'Start the applications', work: () => startApps(environment, apps) },
  });
  const { primary } = plan;
  const tail = await run.step('capture-tail', () => onHost(primary.host).captureTail(nodeInput(context, primary)));
  await run.step('pause-backups', () => orchestrator.pauseBackups({ environment, run: runName }), {
    undo: {
      step: 'resume-backups',
      title: 'Resume backups',
      work: () => orchestrator.resumeBackups({ environment, run: runName }),
    },
  });
  return tail;
}

/** The primary first: from then on nobody writes. A standby is stopped too, so that it cannot be promoted behind our back. */
async function fence(run: Run<PromoteStep>, { context, plan }: Change): Promise<void> {
  const nodes = [plan.primary, ...plan.standbys];
  await run.step(
    'fence-old-cluster',
    () => eachNode(nodes, (node) => onHost(node.host).fenceNode(nodeInput(context, node))),
    {
      undo: {
        step: 'start-old-cluster',
        title: 'Start the old cluster',
        // What was down before stays down.
        work: () =>
          eachNode(
            nodes.filter((node) => node.state === 'running'),
            (node) => onHost(node.host).startNode(nodeInput(context, node)),
          ),
      },
    },
  );
}

async function keepOldData(run: Run<PromoteStep>, { context, plan }: Change): Promise<void> {
  const { primary } = plan;
  await run.step('keep-old-data', () => onHost(primary.host).keepOldData(nodeInput(context, primary)), {
    undo: {
      step: 'return-old-data',
      title: 'Put the old data back',
      work: () => onHost(primary.host).returnOldData(nodeInput(context, primary)),
    },
  });
}

async function swapIn(run: Run<PromoteStep>, { input, context, plan }: Change): Promise<EndRecoveryResult> {
  const { primary } = plan;
  const { environment } = context;
  const { ref, recovery } = input;
  let newTimeline: number | null = null;
  await run.step('swap-in', () => onHost(primary.host).swapIn({ ...nodeInput(context, primary), ref }), {
    undo: {
      step: 'swap-out',
      title: 'Set the promoted data aside',
      work: async () => {
        const swapped = await onHost(primary.host).swapOut(nodeInput(context, primary));
        // A timeline that was made is not production's history any more, even when its reply was lost.
        const timeline = newTimeline ?? swapped.timeline ?? null;
        if (timeline === null || timeline <= primary.timeline) return { swapped, abandoned: null };
        await orchestrator.abandonTimeline({ environment, timeline, run: context.run });
        return { swapped, abandoned: timeline };
      },
    },
  });
  const ended = await run.step('end-recovery', () =>
    onHost(primary.host).endRecovery({ ...nodeInput(context, primary), ref, plan: recovery }),
  );
  newTimeline = ended.timeline;
  return ended;
}
