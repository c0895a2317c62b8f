/** WAL segments for tests that need no server: a right first page, then bytes that depend on a seed. */
import { parseSegmentName } from '../../shared/timeline.js';

export const SEGMENT_BYTES = 16 * 1024 * 1024;
export const SYSTEM_IDENTIFIER = '7710503318627444978';

/** A segment of PostgreSQL 18 as its name says. */
export function segmentOf(name: string, seed = 1): Buffer {
  const parsed = parseSegmentName(name);
  if (parsed === null) throw new Error(`${name} is no segment`);
  const segment = Buffer.alloc(SEGMENT_BYTES);
  for (let at = 8192; at < SEGMENT_BYTES; at += 4096) segment.writeUInt32LE((seed * 2654435761 + at) >>> 0, at);
  segment.writeUInt16LE(0xd118, 0);
  segment.writeUInt16LE(0x0002, 2);
  segment.writeUInt32LE(parsed.timeline, 4);
  segment.writeBigUInt64LE(parsed.number * BigInt(SEGMENT_BYTES), 8);
  segment.writeBigUInt64LE(BigInt(SYSTEM_IDENTIFIER), 24);
  segment.writeUInt32LE(SEGMENT_BYTES, 32);
  segment.writeUInt32LE(8192, 36);
  return segment;
}
