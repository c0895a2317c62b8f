/** Refusals of a target by what the controller's lists tell: times are those at which segments were received, not those of commits. Pure. */
import { formatTarget } from '../../../shared/target-time.js';
import { markBeyondArchive } from '../../lib/beyond-archive.js';
import type { ResolveTargetInput } from '../../lib/backup-store.js';
import { stepFailure } from '../../lib/failure.js';
import { endedAt } from '../base-chain.js';
import type { ArchiveSegment } from '../holes.js';
import type { Archive } from '../timeline-archive.js';

type Where = Pick<ResolveTargetInput, 'environment' | 'target'>;

/** The target lies in the segment that is still being written, which the controller does not have. */
export function afterReceived({ environment, target }: Where, newest: ArchiveSegment | undefined): Error {
  const end =
    newest === undefined
      ? 'it has received none'
      : `the newest one, ${newest.name}, was received at ${newest.file.archivedAt}`;
  return markBeyondArchive(
    stepFailure(
      'TargetNotRecoverable',
      `the target ${formatTarget(target)} lies after the wal that the controller has: ${end}`,
      {
        hint: 'the segment that is still open is not backed up: take an earlier target, or everything there is with `--to latest`',
        next: [`pgr pitr ${environment} --to latest`, `pgr window ${environment}`],
      },
    ),
  );
}

/** The target lies in WAL that is missing behind run number `run`. */
export function inListedHole(archive: Archive, { environment, target }: Where, run: number): Error {
  const before = archive.runs[run]?.at(-1);
  const gap = archive.gaps[run + (archive.gaps.length === archive.runs.length ? 1 : 0)];
  const next = archive.bases.find((base) => base.why === null && base.run > run);
  const missing =
    gap === undefined
      ? 'the wal there'
      : `wal ${gap.firstMissing}${gap.lastMissing === gap.firstMissing ? '' : ` to ${gap.lastMissing}`}`;
  const last = before === undefined ? '' : `; the last segment before it was received at ${before.file.archivedAt}`;
  const again =
    next === undefined ? 'no base after it can be used' : `the first target after it is ${endedAt(next.header)}`;
  return stepFailure(
    'TargetInHole',
    `the target ${formatTarget(target)} cannot be reached: ${missing} is missing in the lists of the controller${last}; ${again}`,
    {
      hint: 'take a target outside of the hole; `pgr window` shows it',
      next: [`pgr window ${environment}`],
    },
  );
}
