/**
 * Activity `planRecovery`: what a recovery to a target would do, as a plan that can be approved. Needs the backup store and the server programs of the
 * sandbox host; a live primary makes the answer better, its absence is a warning. It changes nothing, except that it may ask the live
 * primary to archive its newest WAL (plan-recovery-newest.ts). A retry computes the same plan from what is there then.
 */
import { MAIN_STORE } from '../../config/schema.js';
import type { PlanRecoveryInput } from '../../shared/contracts/activities.js';
import type { RecoveryPlan } from '../../shared/contracts/plan.js';
import { largestSettings } from '../../shared/minimum-settings.js';
import { planHashOf } from '../../shared/plan-hash.js';
import type { BackupStore, ResolvedTarget, ResolveTargetInput } from '../lib/backup-store.js';
import { isBeyondArchive } from '../lib/beyond-archive.js';
import type { ActivityDeps } from '../lib/deps.js';
import { binDirFor, environmentOf, nodeOnHost, sandboxRootOf } from '../lib/environment-config.js';
import { stepFailure } from '../lib/failure.js';
import { readControlData, type ControlData } from './control-data.js';
import { chooseStore, type Resolution } from './choose-store.js';
import { estimateOf } from './plan-recovery-estimate.js';
import { findLivePrimary, type LivePrimary } from './plan-recovery-live.js';
import { handOverNewestWal } from './plan-recovery-newest.js';
import { withScratch } from './plan-recovery-scratch.js';
import { neededBytes, readSpace } from './plan-recovery-space.js';

/**
 * Plans a recovery on the sandbox host, from the store that serves the target best unless the input names one. Refuses what cannot be reached before anything
 * is fetched: TargetNotRecoverable, TargetInHole, IdentityMismatch, MajorMismatch, SpaceMissing; WalCorrupt and BackupCorrupt name the object.
 */
export function createPlanRecovery(deps: ActivityDeps) {
  return async function planRecovery(input: PlanRecoveryInput): Promise<RecoveryPlan> {
    const { environment: name, host } = input;
    const environment = environmentOf(deps.config, name);
    const [live, onHost] = await Promise.all([findLivePrimary(deps, name), readControlOnHost(deps, name, host)]);
    const chosen = await chooseStore(environment, input.store, (store) =>
      resolveIn(deps, store, live.primary, {
        environment: name,
        target: input.target,
        binDir: binDirFor(environment, host),
        live: live.primary,
        requestedAt: input.requestedAt,
      }),
    );
    const { resolved, warnings } = chosen;
    const root = sandboxRootOf(environment, host);
    const plan: Omit<RecoveryPlan, 'hash'> = {
      environment: name,
      ...(chosen.store === MAIN_STORE && chosen.stores.length === 1
        ? {}
        : { store: chosen.store, stores: chosen.stores }),
      target: input.target,
      ...resolved,
      space: await readSpace(root, neededBytes(resolved)),
      estimate: estimateOf(resolved),
      minimumSettings: largestSettings(
        resolved.minimumSettings,
        ...(live.primary === null ? [] : [live.primary.settings]),
        ...(onHost?.systemIdentifier === resolved.systemIdentifier ? [onHost.settings] : []),
      ),
      host,
      warnings: [...live.warnings, ...resolved.warnings, ...warnings],
    };
    return { ...plan, hash: planHashOf(plan) };
  };
}

/** What one store can do for the target, each in a scratch directory of its own. */
async function resolveIn(
  deps: ActivityDeps,
  storeName: string,
  primary: LivePrimary | null,
  input: Omit<ResolveTargetInput, 'scratchDir'>,
): Promise<Resolution> {
  const store = await deps.store(input.environment, storeName);
  const resolution = await withScratch(deps.config.stateDir, (scratchDir) =>
    resolve(deps, store, primary, { ...input, scratchDir }),
  );
  refuseOtherSystem(resolution.resolved, primary);
  return resolution;
}

/** A target behind the end of the archive is looked at once more when the primary has handed over its newest WAL. */
async function resolve(
  deps: ActivityDeps,
  store: BackupStore,
  primary: LivePrimary | null,
  input: ResolveTargetInput,
): Promise<Resolution> {
  const { environment, target } = input;
  if (primary === null) return { resolved: await store.resolveTarget(input), warnings: [] };
  const handOver = () =>
    handOverNewestWal(deps, store, {
      environment,
      node: primary.node,
      timeline: primary.timeline,
      withMarker: target.kind === 'time',
    });
  if (target.kind === 'latest') {
    const handed = await handOver();
    const resolved = await store.resolveTarget(input);
    return { resolved, warnings: handed.outcome === 'failed' ? [notArchived(primary, handed.why)] : [] };
  }
  try {
    return { resolved: await store.resolveTarget(input), warnings: [] };
  } catch (error) {
    if (!isBeyondArchive(error)) throw error;
    const handed = await handOver();
    if (handed.outcome === 'failed') throw refusedUnarchived(error, primary, handed.why);
    const resolved = await store.resolveTarget(input);
    const isMarker = handed.marker !== null && resolved.boundary.dropped?.xid === handed.marker;
    const note = `the first transaction dropped, ${handed.marker ?? ''}, is an empty one of this planner: nothing else was committed after the target`;
    return { resolved, warnings: isMarker ? [note] : [] };
  }
}

function notArchived({ node }: LivePrimary, why: string): string {
  return `the newest WAL of ${node} did not reach the archive and is not part of this plan: ${why}`;
}

function refusedUnarchived(error: unknown, primary: LivePrimary, why: string): Error {
  const message = error instanceof Error ? error.message : String(error);
  return stepFailure('TargetNotRecoverable', `${message}; ${notArchived(primary, why)}`, {
    hint: 'mend archiving on the primary (pg_stat_archiver, its log), then `pgr retry`; or take an earlier target',
  });
}

/** The store looked for bases of the live primary's system; an answer of another one must not come through. */
function refuseOtherSystem(resolved: ResolvedTarget, primary: LivePrimary | null): void {
  if (primary === null || primary.systemIdentifier === resolved.systemIdentifier) return;
  throw stepFailure(
    'IdentityMismatch',
    `${primary.node} is system ${primary.systemIdentifier}, the bases are of system ${resolved.systemIdentifier}`,
  );
}

/** Control file of the node on this host: its settings count when its server is down, too. */
async function readControlOnHost(
  deps: ActivityDeps,
  environmentName: string,
  host: string,
): Promise<ControlData | null> {
  const node = nodeOnHost(environmentOf(deps.config, environmentName), host);
  // Data that cannot be read (another major, damaged) are no reason against a recovery; the bases carry their settings.
  return node === null ? null : readControlData(node.binDir, node.dataDir).catch(() => null);
}
