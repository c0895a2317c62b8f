/**
 * WAL file names and timelines. A segment is named `TTTTTTTTHHHHHHHHLLLLLLLL` (timeline, then the segment number split by
 * segments per 4 GiB), a history file `TTTTTTTT.history` (PostgreSQL docs, "Continuous Archiving", src/backend/access/transam).
 */
import { formatLsn, lsnToBigInt, parseLsn, type Lsn } from './lsn.js';

/** Size of a WAL segment unless `initdb --wal-segsize` said otherwise. */
export const DEFAULT_WAL_SEGMENT_BYTES = 16 * 1024 * 1024;

const SEGMENT_PATTERN = /^[0-9A-F]{24}$/;
const HISTORY_PATTERN = /^[0-9A-F]{8}\.history$/;
const XLOG_SPACE = 0x1_0000_0000n;

export type WalSegment = { name: string; timeline: number; number: bigint };

export type TimelineSwitch = { timeline: number; switchLsn: Lsn; reason: string };

/** True for a 24-digit segment name (not `.partial`, not `.backup`). */
export function isSegmentName(name: string): boolean {
  return SEGMENT_PATTERN.test(name);
}

/** True for `0000000N.history`. */
export function isHistoryName(name: string): boolean {
  return HISTORY_PATTERN.test(name);
}

/** Name of segment `number` of `timeline`. */
export function segmentName(
  timeline: number,
  number: bigint,
  segmentBytes: number = DEFAULT_WAL_SEGMENT_BYTES,
): string {
  const perId = XLOG_SPACE / BigInt(segmentBytes);
  const hex = (value: bigint): string => value.toString(16).toUpperCase().padStart(8, '0');
  return `${hex(BigInt(timeline))}${hex(number / perId)}${hex(number % perId)}`;
}

/** Splits a segment name; null when it is none. */
export function parseSegmentName(name: string, segmentBytes: number = DEFAULT_WAL_SEGMENT_BYTES): WalSegment | null {
  if (!isSegmentName(name)) return null;
  const perId = XLOG_SPACE / BigInt(segmentBytes);
  const part = (index: number): bigint => BigInt(`0x${name.slice(index * 8, index * 8 + 8)}`);
  return { name, timeline: Number(part(0)), number: part(1) * perId + part(2) };
}

/** Number of the segment that holds `lsn`. */
export function segmentNumberOf(lsn: Lsn, segmentBytes: number = DEFAULT_WAL_SEGMENT_BYTES): bigint {
  return lsnToBigInt(lsn) / BigInt(segmentBytes);
}

/** First LSN of segment `number`. */
export function segmentStart(number: bigint, segmentBytes: number = DEFAULT_WAL_SEGMENT_BYTES): Lsn {
  return formatLsn(number * BigInt(segmentBytes));
}

/** Name of the history file of `timeline`. */
export function historyName(timeline: number): string {
  return `${timeline.toString(16).toUpperCase().padStart(8, '0')}.history`;
}

/**
 * Parses a history file: one line per ancestor, `timeline <tab> switch LSN <tab> reason`, oldest first.
 * Returns null when a line is not of that shape (a damaged file must not read as "no ancestors").
 */
export function parseHistory(text: string): TimelineSwitch[] | null {
  const switches: TimelineSwitch[] = [];
  for (const line of text.split('\n')) {
    const trimmed = line.trim();
    if (trimmed === '' || trimmed.startsWith('#')) continue;
    const match = /^(\d+)\s+([0-9A-Fa-f]+\/[0-9A-Fa-f]+)(?:\s+(.*))?$/.exec(trimmed);
    const switchLsn = match?.[2] === undefined ? null : parseLsn(match[2]);
    if (match?.[1] === undefined || switchLsn === null) return null;
    switches.push({ timeline: Number(match[1]), switchLsn, reason: match[3] ?? '' });
  }
  return switches;
}
