/** Turns a target into a stretch of WAL and a condition that is true for the commits that the target drops. */
import type { TransactionPoint, WindowHole } from '../../shared/contracts/plan.js';
import { lsnToBigInt } from '../../shared/lsn.js';
import { normaliseTimestamp, type TargetSpec } from '../../shared/target-time.js';
import { endedAt, type JudgedBase } from './base-chain.js';
import { findLastCommit } from './last-commit.js';
import type { IsDropped } from './resolve-target-boundary.js';
import * as refuse from './resolve-target-refusals.js';
import type { Archive } from './timeline-archive.js';
import { positionOf, timeOf, toWalTime, transactionPoint } from './waldump-record.js';
import { lastReachableRun } from './window.js';

export type Aim = {
  /** Index of the run that is replayed. */
  run: number;
  isDropped: IsDropped;
  /** Index of the segment in which the boundary is looked for first. */
  guess: number;
  warnings: string[];
};

export type AimInput = { environment: string; target: TargetSpec; requestedAt: string };

/**
 * The rule of recovery_target_time with inclusive=on (recoveryStopsBefore in src/backend/access/transam/xlogrecovery.c): kept is every COMMIT
 * before the first COMMIT whose time is later than T. Commit times may be slightly out of order, because a time is taken before its
 * record is written: a commit of an earlier time behind that first later one is dropped, here as there. (The server looks at
 * ABORT records too; they change nothing that anybody can see, so they are not looked at here.)
 */
export function aimAtTime(archive: Archive, usable: readonly JudgedBase[], input: AimInput, value: string): Aim {
  if (value > (normaliseTimestamp(input.requestedAt) ?? input.requestedAt)) {
    throw refuse.inTheFuture(input, input.requestedAt);
  }
  const started = usable.filter((base) => endedAt(base.header) <= value);
  const [oldest] = usable;
  if (started.length === 0 && oldest !== undefined) throw refuse.beforeWindow(input, endedAt(oldest.header));
  const run = Math.max(...started.map((base) => base.run));
  const limit = toWalTime(value);
  const segments = archive.runs[run] ?? [];
  // A segment is archived when it is full: the first one archived after T is the one that was being written at T.
  const archivedAfter = segments.findIndex((segment) => segment.file.archivedAt >= value.slice(0, 23));
  return {
    run,
    isDropped: (commit) => timeOf(commit) > limit,
    guess: archivedAfter < 0 ? segments.length - 1 : archivedAfter,
    warnings: [],
  };
}

/** Everything that can be replayed. */
export function aimAtLatest(archive: Archive): Aim {
  const run = lastReachableRun(archive.bases) ?? 0;
  return { run, isDropped: () => false, guess: (archive.runs[run]?.length ?? 1) - 1, warnings: [] };
}

/** Recovery with `immediate` stops where the base is consistent: at its stop LSN. */
export function aimAtConsistency(archive: Archive, base: JudgedBase): Aim {
  return aimAtPosition(archive, base.run, lsnToBigInt(base.header.stopLsn), []);
}

/** Drops every COMMIT that starts at `position` or behind it. */
export function aimAtPosition(archive: Archive, run: number, position: bigint, warnings: string[]): Aim {
  const first = archive.runs[run]?.[0]?.number ?? 0n;
  return {
    run,
    isDropped: (commit) => positionOf(commit) >= position,
    guess: Number(position / BigInt(archive.walSegmentBytes) - first),
    warnings,
  };
}

/** Last commit that can be replayed to, null when there is none. */
export async function lastReachable(archive: Archive): Promise<TransactionPoint | null> {
  const run = archive.runs[lastReachableRun(archive.bases) ?? 0];
  const found = run === undefined ? null : await findLastCommit(archive.reader, run);
  return found === null ? null : transactionPoint(found, archive.walSegmentBytes);
}

/** Refusal of a target that lies behind the end of run `run`: in the hole that follows it, or after the archive. */
export function behindRun(
  archive: Archive,
  input: AimInput,
  holes: readonly WindowHole[],
  run: number,
  last: TransactionPoint | null,
): Error {
  const hole = holes[run + (archive.gaps.length === archive.runs.length ? 1 : 0)];
  const again = archive.bases.some((base) => base.why === null && base.run > run);
  return hole === undefined ? refuse.afterArchive(input, last) : refuse.inHole(input, hole, again);
}
