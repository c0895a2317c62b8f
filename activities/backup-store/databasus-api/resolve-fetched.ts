/** Completes a plan with the WAL that was fetched: the same search for the boundary as for every store, over the files on this disk. */
import type { RecoveryPlan } from '../../../shared/contracts/plan.js';
import type { ResolvedTarget } from '../../lib/backup-store.js';
import { isBeyondArchive } from '../../lib/beyond-archive.js';
import { stepFailure } from '../../lib/failure.js';
import { resolveTarget } from '../resolve-target.js';
import type { ObjectStore } from '../s3-objects.js';
import { WAL_PREFIX } from './lists-view.js';

export type FetchedInput = { objects: ObjectStore; plan: RecoveryPlan; scratchDir: string; binDir: string; now: Date };

/**
 * Throws as `resolveTarget` does. A time behind the last commit of all WAL is no refusal here: nothing later exists in this store, so recovery goes to
 * that commit, and it is said (a server told to go to such a time would end with FATAL).
 */
export async function resolveFetched({
  objects,
  plan,
  scratchDir,
  binDir,
  now,
}: FetchedInput): Promise<ResolvedTarget> {
  const context = { objects, walPrefix: WAL_PREFIX };
  const input = {
    environment: plan.environment,
    target: plan.target,
    scratchDir,
    binDir,
    live: null,
    requestedAt: now.toISOString(),
  };
  try {
    return requireChain(await resolveTarget(context, input), plan);
  } catch (error) {
    if (plan.target.kind !== 'time' || !isBeyondArchive(error)) throw error;
    const latest = requireChain(await resolveTarget(context, { ...input, target: { kind: 'latest' } }), plan);
    const last = latest.boundary.kept === null ? 'no commit' : `the commit of ${latest.boundary.kept.time}`;
    const note = `the wal of the backup ends with ${last}: nothing between it and the target ${plan.target.value} is in this store, and recovery goes to that commit`;
    return { ...latest, warnings: [...latest.warnings, note] };
  }
}

/** Another base than the fetched one would be right: it ended after the first transaction that is to be dropped. */
function requireChain(resolved: ResolvedTarget, { baseChain }: RecoveryPlan): ResolvedTarget {
  const planned = baseChain.at(-1);
  if (planned !== undefined && resolved.baseChain.at(-1)?.id === planned.id) return resolved;
  throw stepFailure(
    'TargetNotRecoverable',
    `the target lies before the end of base ${planned?.id ?? ''} by its wal, although not by the clock of the controller (${planned?.endedAt ?? ''})`,
    { hint: 'take a target a little earlier, so that the base before it is used' },
  );
}
