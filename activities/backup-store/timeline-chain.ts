/**
 * The line of timelines that leads to one of them: which timeline holds which LSN, and under whose name a segment is looked for. Follows
 * the history file, as recovery does (src/backend/access/transam/timeline.c, XLogFileReadAnyTLI).
 */
import { compareLsn, lsnToBigInt, type Lsn } from '../../shared/lsn.js';
import { segmentName, segmentNumberOf, type TimelineSwitch } from '../../shared/timeline.js';

/** WAL of `timeline` counts from `from` until `to` (null: to its end). */
export type TimelineSpan = { timeline: number; from: Lsn; to: Lsn | null };

const START_OF_WAL = '0/0' as Lsn;

/** Spans of `timeline` and its ancestors, oldest first. `switches` are the lines of its history file; none for a first timeline. */
export function timelineSpans(timeline: number, switches: readonly TimelineSwitch[]): TimelineSpan[] {
  const spans: TimelineSpan[] = [];
  let from = START_OF_WAL;
  for (const ancestor of switches) {
    spans.push({ timeline: ancestor.timeline, from, to: ancestor.switchLsn });
    from = ancestor.switchLsn;
  }
  return [...spans, { timeline, from, to: null }];
}

/**
 * The timeline under whose name segment `number` is used: the newest one that begins in it or before it. The segment in which a timeline
 * begins exists twice; the newer copy holds the pages of both.
 */
export function timelineOfSegment(spans: readonly TimelineSpan[], number: bigint, walSegmentBytes: number): number {
  const holder = spans.findLast((span) => segmentNumberOf(span.from, walSegmentBytes) <= number);
  return holder?.timeline ?? spans[0]?.timeline ?? 1;
}

/** The same for a position: the timeline on which the record that starts at `lsn` was written. */
export function timelineOfLsn(spans: readonly TimelineSpan[], lsn: Lsn): number {
  const holder = spans.findLast((span) => compareLsn(span.from, lsn) <= 0);
  return holder?.timeline ?? spans[0]?.timeline ?? 1;
}

/** True when everything up to `lsn` on `timeline` belongs to this line: it was not left before that point. */
export function isOnChain(spans: readonly TimelineSpan[], timeline: number, lsn: Lsn): boolean {
  return spans.some((span) => span.timeline === timeline && (span.to === null || compareLsn(lsn, span.to) <= 0));
}

/** Names of all segments from `from` to the one that holds the byte before `to`, each under the timeline that is used for it. */
export function chainSegmentNames(
  spans: readonly TimelineSpan[],
  from: Lsn,
  to: Lsn,
  walSegmentBytes: number,
): string[] {
  const names: string[] = [];
  const last = lastSegmentBefore(to, walSegmentBytes);
  for (let number = segmentNumberOf(from, walSegmentBytes); number <= last; number += 1n) {
    names.push(segmentName(timelineOfSegment(spans, number, walSegmentBytes), number, walSegmentBytes));
  }
  return names;
}

/** Number of the segment that holds the byte before `lsn`. */
export function lastSegmentBefore(lsn: Lsn, walSegmentBytes: number): bigint {
  return (lsnToBigInt(lsn) - 1n) / BigInt(walSegmentBytes);
}
