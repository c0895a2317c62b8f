/** Target `lsn:L`. */
import { compareLsn, lsnToBigInt, type Lsn } from '../../shared/lsn.js';
import { segmentNumberOf } from '../../shared/timeline.js';
import { endedAt } from './base-chain.js';
import type { ArchiveSegment } from './holes.js';
import { aimAtPosition, behindRun, lastReachable, type Aim, type AimInput } from './resolve-target-aim.js';
import * as refuse from './resolve-target-refusals.js';
import type { Archive } from './timeline-archive.js';
import { lsnOf } from './waldump-record.js';
import { readHoles } from './window.js';

/**
 * Keeps every COMMIT record that starts at L or before it. L need not be the start of a record: what a person notes down is mostly
 * pg_current_wal_lsn(), which is the end of one. (PostgreSQL's own recovery_target_lsn would then replay one record more.)
 */
export async function aimAtLsn(archive: Archive, input: AimInput, lsn: Lsn): Promise<Aim> {
  const number = segmentNumberOf(lsn, archive.walSegmentBytes);
  const run = archive.runs.findIndex((segments) => segments.some((segment) => segment.number === number));
  const segment = archive.runs[run]?.find((candidate) => candidate.number === number);
  if (segment === undefined) throw await notArchived(archive, input, number);
  const next = await archive.reader.firstRecordAt(segment, lsn);
  if (next === null && segment.isNewest && !(await endsWithSwitch(archive, segment))) {
    throw refuse.afterArchive(input, await lastReachable(archive));
  }
  const isStart = next !== null && compareLsn(lsnOf(next), lsn) === 0;
  const warning = `${lsn} is not the start of a wal record: every commit that starts before it is kept`;
  return aimAtPosition(archive, run, lsnToBigInt(lsn) + 1n, isStart ? [] : [warning]);
}

async function notArchived(archive: Archive, input: AimInput, number: bigint): Promise<Error> {
  const { runs, bases } = archive;
  const before = runs.findLastIndex((run) => (run[0]?.number ?? 0n) < number);
  const oldest = bases.find((base) => base.why === null);
  if (before < 0 && oldest !== undefined) return refuse.beforeWindow(input, endedAt(oldest.header));
  return behindRun(archive, input, await readHoles(archive), before, await lastReachable(archive));
}

/** A segment that was switched away from is complete: nothing can be written behind its SWITCH record any more. */
async function endsWithSwitch(archive: Archive, segment: ArchiveSegment): Promise<boolean> {
  const seen = { isSwitched: false };
  await archive.reader.read([segment], ['XLOG'], (record) => {
    seen.isSwitched = record.kind === 'switch';
    return undefined;
  });
  return seen.isSwitched;
}
