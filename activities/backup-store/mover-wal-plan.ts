/** Which archived files make up the WAL of a fetch. Pure. */
import { lsnToBigInt } from '../../shared/lsn.js';
import { historyName, parseSegmentName, segmentName, type TimelineSwitch } from '../../shared/timeline.js';
import type { FetchSpec } from '../lib/backup-store.js';
import { timelineOfSegment, timelineSpans, type TimelineSpan } from './timeline-chain.js';
import type { WalFile } from './wal-archive.js';

/** `name` is what the server asks for; `file` what the archive has (it may be the `.partial` copy of the last segment of a timeline). */
type WantedSegment = { name: string; file: WalFile };

export type WalPlan = { segments: WantedSegment[]; histories: WalFile[]; missing: string[] };

/**
 * Segments in the order in which replay needs them, and all history files. `switches` are the lines of the target timeline's history.
 * The segment in which a timeline begins exists under both names; the newer one is used and the ancestor's when the archive has only that.
 */
export function planWal(
  wal: FetchSpec['wal'],
  files: readonly WalFile[],
  switches: readonly TimelineSwitch[],
): WalPlan {
  const byName = new Map(files.map((file) => [file.name, file]));
  const histories = files.filter(({ name }) => name.endsWith('.history'));
  const plan: WalPlan = { segments: [], histories, missing: [] };
  const spans = timelineSpans(wal.timeline, switches);
  const first = parseSegmentName(wal.firstSegment, wal.walSegmentBytes)?.number ?? 0n;
  const last = parseSegmentName(wal.lastSegment, wal.walSegmentBytes)?.number ?? -1n;
  for (let number = first; number <= last; number += 1n) {
    const names = namesOf(spans, number, wal.walSegmentBytes);
    const name = names.find((one) => byName.has(one) || byName.has(`${one}.partial`)) ?? names[0] ?? '';
    const file = byName.get(name) ?? byName.get(`${name}.partial`);
    if (file === undefined) plan.missing.push(name);
    else plan.segments.push({ name, file });
  }
  return plan;
}

/** Names under which a segment may lie there, best first: as recovery looks for them (XLogFileReadAnyTLI). */
function namesOf(spans: readonly TimelineSpan[], number: bigint, walSegmentBytes: number): string[] {
  const newest = timelineOfSegment(spans, number, walSegmentBytes);
  const names = [newest];
  const start = number * BigInt(walSegmentBytes);
  const at = spans.findIndex(({ timeline }) => timeline === newest);
  const before = spans[at - 1];
  const begin = spans[at]?.from;
  if (before !== undefined && begin !== undefined && lsnToBigInt(begin) > start) names.push(before.timeline);
  return names.map((timeline) => segmentName(timeline, number, walSegmentBytes));
}

/** The history file that must be read before {@link planWal}; null for a first timeline, which has none. */
export function neededHistory(timeline: number): string | null {
  return timeline > 1 ? historyName(timeline) : null;
}
