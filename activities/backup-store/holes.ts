/** The archive as stretches of WAL without a gap, along one line of timelines. */
import { compareLsn, lsnToBigInt, type Lsn } from '../../shared/lsn.js';
import { isSegmentName, parseSegmentName, segmentName, segmentNumberOf } from '../../shared/timeline.js';
import { lastSegmentBefore, timelineOfSegment, type TimelineSpan } from './timeline-chain.js';
import type { WalFile } from './wal-archive.js';

export type ArchiveSegment = {
  number: bigint;
  name: string;
  file: WalFile;
  /** Where its part of this line ends when that is inside it: the copy of an older timeline that the newer one left. */
  endLsn: Lsn | null;
  /** True for the newest segment of the archive: the only one that may have been archived before it was full. */
  isNewest: boolean;
};

/** Consecutive segments; never empty. */
export type Run = ArchiveSegment[];

/** Missing segments between two runs, or before the first one. */
export type Gap = { timeline: number; firstMissing: string; lastMissing: string };

export type Stretches = { runs: Run[]; gaps: Gap[] };

/**
 * Stretches of the archive from segment `first` on (the oldest one that any base needs). `gaps[i]` lies before `runs[i + 1]`, or before
 * `runs[i]` when `startsWithGap`. Looks at names only.
 */
export function archiveStretches(
  spans: readonly TimelineSpan[],
  files: readonly WalFile[],
  first: bigint,
  walSegmentBytes: number,
): Stretches {
  const found = segmentsOfChain(spans, files, walSegmentBytes).filter((segment) => segment.number >= first);
  const runs: Run[] = [];
  const gaps: Gap[] = [];
  let expected = first;
  for (const segment of found) {
    const run = runs.at(-1);
    if (segment.number > expected) gaps.push(gapBetween(spans, expected, segment.number - 1n, walSegmentBytes));
    if (run === undefined || segment.number > expected) runs.push([segment]);
    else run.push(segment);
    expected = segment.number + 1n;
  }
  return { runs, gaps };
}

function gapBetween(spans: readonly TimelineSpan[], first: bigint, last: bigint, walSegmentBytes: number): Gap {
  const nameOf = (number: bigint): string =>
    segmentName(timelineOfSegment(spans, number, walSegmentBytes), number, walSegmentBytes);
  return {
    timeline: timelineOfSegment(spans, first, walSegmentBytes),
    firstMissing: nameOf(first),
    lastMissing: nameOf(last),
  };
}

/** Archived segments that belong to this line, in order. */
function segmentsOfChain(
  spans: readonly TimelineSpan[],
  files: readonly WalFile[],
  walSegmentBytes: number,
): ArchiveSegment[] {
  const segments: ArchiveSegment[] = [];
  for (const file of files) {
    const parsed = isSegmentName(file.name) ? parseSegmentName(file.name, walSegmentBytes) : null;
    if (parsed === null || timelineOfSegment(spans, parsed.number, walSegmentBytes) !== parsed.timeline) continue;
    segments.push({ number: parsed.number, name: file.name, file, endLsn: null, isNewest: false });
  }
  segments.sort((a, b) => Number(a.number - b.number));
  const end = endOfOlderTimeline(spans, files, segments.at(-1)?.number ?? -1n, walSegmentBytes);
  const last = segments.at(-1);
  if (end === null && last !== undefined) last.isNewest = true;
  return end === null ? segments : [...segments, end];
}

/**
 * Right after a promotion the new timeline has archived nothing yet. Then the WAL up to the switch is in the old timeline's copy of that
 * segment: complete, or `.partial` as the promoted server archives it.
 */
function endOfOlderTimeline(
  spans: readonly TimelineSpan[],
  files: readonly WalFile[],
  lastNumber: bigint,
  walSegmentBytes: number,
): ArchiveSegment | null {
  const newest = spans.at(-1);
  const older = spans.at(-2);
  if (newest === undefined || older === undefined || lsnToBigInt(newest.from) === 0n) return null;
  const number = lastSegmentBefore(newest.from, walSegmentBytes);
  const isNewestInIt = segmentNumberOf(newest.from, walSegmentBytes) === number;
  if (lastNumber >= number || !isNewestInIt) return null;
  const name = segmentName(older.timeline, number, walSegmentBytes);
  const file =
    files.find((candidate) => candidate.name === name) ??
    files.find((candidate) => candidate.name === `${name}.partial`);
  return file === undefined ? null : { number, name, file, endLsn: newest.from, isNewest: true };
}

/** The run that holds every segment from `from` to the byte before `to`; -1 when a segment is missing. */
export function runHolding(runs: readonly Run[], from: Lsn, to: Lsn, walSegmentBytes: number): number {
  const first = segmentNumberOf(from, walSegmentBytes);
  const last = lastSegmentBefore(to, walSegmentBytes);
  return runs.findIndex((run) => {
    const begin = run[0];
    const end = run.at(-1);
    if (begin === undefined || end === undefined || begin.number > first || end.number < last) return false;
    return end.number > last || end.endLsn === null || compareLsn(to, end.endLsn) <= 0;
  });
}
