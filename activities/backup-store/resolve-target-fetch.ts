/** Which segments a recovery fetches, and on which timeline it runs. Pure. */
import type { Boundary, StopPoint } from '../../shared/contracts/plan.js';
import { compareLsn, formatLsn, lsnDistanceBytes, lsnToBigInt, type Lsn } from '../../shared/lsn.js';
import { segmentName, segmentNumberOf } from '../../shared/timeline.js';
import type { ResolvedTarget } from '../lib/backup-store.js';
import { baseRef } from './base-chain.js';
import type { BaseHeader } from './base-catalog.js';
import type { Run } from './holes.js';
import type { Archive } from './timeline-archive.js';
import { chainSegmentNames, lastSegmentBefore, timelineOfLsn, type TimelineSpan } from './timeline-chain.js';

export type FetchInput = { run: Run; base: BaseHeader; boundary: Boundary; stop: StopPoint };

/** Segments from the start of the base to the end of the record at which recovery stops (at least to where the base is consistent). */
export function planFetch(
  archive: Archive,
  input: FetchInput,
): Pick<ResolvedTarget, 'timeline' | 'fetch' | 'replayBytes'> {
  const { run, base } = input;
  const { walSegmentBytes } = archive;
  const { end, at } = endOfReplay(input);
  const timeline = recoveryTimeline(archive, at, end);
  const names = chainSegmentNames(spansUpTo(archive.spans, timeline), base.startLsn, end, walSegmentBytes);
  const first = segmentNumberOf(base.startLsn, walSegmentBytes);
  const last = lastSegmentBefore(end, walSegmentBytes);
  const segments = run.filter(({ number }) => number >= first && number <= last);
  const chain = archive.bases.find(({ header }) => header.id === base.id)?.chain ?? [base];
  return {
    timeline,
    fetch: {
      baseBytes: chain.reduce((sum, link) => sum + baseRef(link).bytes, 0),
      walBytes: segments.reduce((sum, { file }) => sum + file.bytes, 0),
      walSegments: names.length,
      firstSegment: names[0] ?? '',
      lastSegment: names.at(-1) ?? '',
    },
    replayBytes: lsnDistanceBytes(base.startLsn, end),
  };
}

/** Where the record starts at which recovery stops, and the first byte that recovery does not need. */
function endOfReplay({ base, boundary, stop }: FetchInput): { at: Lsn; end: Lsn } {
  const consistent = formatLsn(lsnToBigInt(base.stopLsn) - 1n);
  if (stop.kind === 'immediate') return { at: consistent, end: base.stopLsn };
  const point = stop.inclusive ? boundary.kept : boundary.dropped;
  const end = point?.endLsn ?? stop.lsn;
  return compareLsn(end, base.stopLsn) < 0 ? { at: consistent, end: base.stopLsn } : { at: stop.lsn, end };
}

/**
 * The timeline on which the stop point lies. When that is an ancestor of production's, recovery runs on the ancestor: told to follow the newer one, a
 * server that stops before the switch writes a history file with both, the later one ending before it begins (seen with 18.6). Only when the last segment exists
 * in the newer timeline's copy alone is the newer one followed.
 */
function recoveryTimeline(archive: Archive, at: Lsn, end: Lsn): number {
  const { spans, walSegmentBytes } = archive;
  const current = archive.timeline ?? 1;
  const own = timelineOfLsn(spans, at);
  if (own === current) return current;
  const last = lastSegmentBefore(end, walSegmentBytes);
  return archive.names.has(segmentName(own, last, walSegmentBytes)) ? own : current;
}

function spansUpTo(spans: readonly TimelineSpan[], timeline: number): TimelineSpan[] {
  const index = spans.findIndex((span) => span.timeline === timeline);
  return spans.slice(0, index + 1).map((span) => (span.timeline === timeline ? { ...span, to: null } : span));
}
