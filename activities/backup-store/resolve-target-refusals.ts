/** The refusals of a target, each with the facts and the nearest target that can be had. Pure. */
import type { ApplicationFailure } from '@temporalio/common';

import type { TransactionPoint, WindowHole } from '../../shared/contracts/plan.js';
import { formatTarget, type TargetSpec } from '../../shared/target-time.js';
import { markBeyondArchive } from '../lib/beyond-archive.js';
import { stepFailure } from '../lib/failure.js';

type Where = { environment: string; target: TargetSpec };

const windowOf = (environment: string): string => `pgr window ${environment}`;
const pitrTo = (environment: string, target: string): string => `pgr pitr ${environment} --to ${target}`;

/** A time that has not come yet. */
export function inTheFuture({ environment, target }: Where, requestedAt: string): ApplicationFailure {
  return stepFailure(
    'TargetNotRecoverable',
    `the target ${formatTarget(target)} is in the future: it is ${requestedAt} now`,
    {
      hint: 'check the zone of the target (everything here is utc), or take everything there is with `--to latest`',
      next: [pitrTo(environment, 'latest')],
    },
  );
}

/** Nothing to start from. */
export function noUsableBase({ environment }: Where, why: string | null): ApplicationFailure {
  return stepFailure(
    'TargetNotRecoverable',
    why === null ? 'the store holds no base' : `no base of the store can be used; the newest one: ${why}`,
    { hint: `\`${windowOf(environment)}\` says why for every base`, next: [windowOf(environment)] },
  );
}

/** Before the end of the oldest usable base. */
export function beforeWindow({ environment, target }: Where, earliest: string): ApplicationFailure {
  return stepFailure(
    'TargetNotRecoverable',
    `the target ${formatTarget(target)} lies before the window: the oldest usable base ended at ${earliest}`,
    { hint: `the earliest target is ${earliest}`, next: [pitrTo(environment, earliest), windowOf(environment)] },
  );
}

/** After the last archived commit (or the end of the archived WAL): PostgreSQL would replay everything and then stop with FATAL. */
export function afterArchive({ environment, target }: Where, last: TransactionPoint | null): ApplicationFailure {
  const end = last === null ? 'the archive holds no commit' : `the last archived commit is ${last.xid} of ${last.time}`;
  const hint =
    last === null
      ? 'take what the newest base holds with `--to immediate`'
      : `the latest target is ${last.time}; or take everything there is with \`--to latest\``;
  return markBeyondArchive(
    stepFailure('TargetNotRecoverable', `the target ${formatTarget(target)} lies after the archive: ${end}`, {
      hint,
      next: [pitrTo(environment, last === null ? 'immediate' : 'latest'), windowOf(environment)],
    }),
  );
}

/** In WAL that is missing, or behind it with no base to start from again. */
export function inHole(
  { environment, target }: Where,
  hole: WindowHole,
  isReachableAgain: boolean,
): ApplicationFailure {
  const missing =
    hole.firstMissing === hole.lastMissing ? hole.firstMissing : `${hole.firstMissing} to ${hole.lastMissing}`;
  const after = isReachableAgain ? `the first one after it is ${hole.to}` : 'no base after it can be used';
  return stepFailure(
    'TargetInHole',
    `the target ${formatTarget(target)} cannot be reached: wal ${missing} of timeline ${hole.timeline} is missing; the last target before it is ${hole.from}, ${after}`,
    {
      hint: `choose ${hole.from}${isReachableAgain ? ` or ${hole.to}` : ''}, or bring the missing segments back from pg_wal of a node`,
      next: [
        pitrTo(environment, hole.from),
        ...(isReachableAgain ? [pitrTo(environment, hole.to)] : []),
        windowOf(environment),
      ],
    },
  );
}

/** The transaction was rolled back: nothing of it is in any state of the database. */
export function rolledBack({ environment, target }: Where, xid: string, time: string): ApplicationFailure {
  return stepFailure('TargetNotRecoverable', `transaction ${xid} never committed: it was rolled back at ${time}`, {
    hint: `to recover to that moment use \`--to ${time}\` (asked was ${formatTarget(target)})`,
    next: [pitrTo(environment, time)],
  });
}

/** Older than the WAL that can be replayed. */
export function endedBeforeWindow({ environment }: Where, xid: string, earliest: string): ApplicationFailure {
  return stepFailure(
    'TargetNotRecoverable',
    `transaction ${xid} had ended before the window begins: the oldest usable base ended at ${earliest}`,
    {
      hint: `its effects are in every state that can be recovered; the earliest target is ${earliest}`,
      next: [windowOf(environment)],
    },
  );
}

/** Neither its COMMIT nor its ABORT is archived. */
export function neverSeen({ environment }: Where, xid: string, isRunning: boolean): ApplicationFailure {
  const fact = isRunning
    ? `transaction ${xid} was still running when the archive ends`
    : `transaction ${xid} was never seen to end in the archive: no commit, no rollback`;
  return markBeyondArchive(
    stepFailure('TargetNotRecoverable', fact, {
      hint: 'check the number; a transaction that still runs, or was cut off by a crash, has no commit. A time works too: `--to <time>`',
      next: [windowOf(environment)],
    }),
  );
}

/** No restore point of that name can be reached. */
export function unknownName({ environment }: Where, name: string, known: readonly string[]): ApplicationFailure {
  const names = known.length === 0 ? 'the archive holds none' : `the archive holds: ${known.join(', ')}`;
  return markBeyondArchive(
    stepFailure('TargetNotRecoverable', `there is no restore point "${name}" in the window; ${names}`, {
      hint: 'check the name given to pg_create_restore_point(), or give a time',
      next: [windowOf(environment)],
    }),
  );
}
