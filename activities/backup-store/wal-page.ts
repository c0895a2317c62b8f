/** The long header of the first page of a WAL segment (XLogLongPageHeaderData, src/include/access/xlog_internal.h). */
import { formatLsn, type Lsn } from '../../shared/lsn.js';
import { parseSegmentName, segmentStart } from '../../shared/timeline.js';

export type WalPageHeader = {
  magic: number;
  timeline: number;
  pageAddress: Lsn;
  systemIdentifier: string;
  segmentBytes: number;
};

const LONG_HEADER_FLAG = 0x0002;
const LONG_HEADER_BYTES = 40;

/** XLOG_PAGE_MAGIC of the majors that are known here; another one is accepted as long as it looks like one (0xD1xx). */
const MAGIC_OF_MAJOR: Readonly<Record<number, number>> = { 15: 0xd110, 16: 0xd113, 17: 0xd116, 18: 0xd118 };

/** Reads the header; null when the bytes are not the start of a WAL segment. Little-endian machines only, as everything we run on. */
export function readWalPageHeader(segment: Buffer): WalPageHeader | null {
  if (segment.length < LONG_HEADER_BYTES) return null;
  const magic = segment.readUInt16LE(0);
  const segmentBytes = segment.readUInt32LE(32);
  const isPowerOfTwo = segmentBytes > 0 && (segmentBytes & (segmentBytes - 1)) === 0;
  if (magic >> 8 !== 0xd1 || (segment.readUInt16LE(2) & LONG_HEADER_FLAG) === 0) return null;
  if (!isPowerOfTwo || segmentBytes < 1024 * 1024 || segmentBytes > 1024 * 1024 * 1024) return null;
  return {
    magic,
    timeline: segment.readUInt32LE(4),
    pageAddress: formatLsn(segment.readBigUInt64LE(8)),
    systemIdentifier: segment.readBigUInt64LE(24).toString(),
    segmentBytes,
  };
}

export type ExpectedSegment = {
  name: string;
  segmentBytes: number;
  /** Null when the caller does not know them. */
  systemIdentifier: string | null;
  postgresMajor: number | null;
};

/**
 * What is wrong with a complete segment, null when nothing is. The timeline in the page may be an ancestor of the one in the name:
 * the segment in which a timeline begins starts with a copy of its ancestor's pages.
 */
export function problemOfSegment(segment: Buffer, expected: ExpectedSegment): string | null {
  const { name, segmentBytes } = expected;
  return segment.length === segmentBytes
    ? problemOfFirstPage(segment, expected)
    : `${name} holds ${String(segment.length)} bytes instead of ${String(segmentBytes)}`;
}

/** The same for the start of a segment (its first 40 bytes are enough), whose length is checked elsewhere. */
export function problemOfFirstPage(page: Buffer, expected: ExpectedSegment): string | null {
  const { name, segmentBytes } = expected;
  const header = readWalPageHeader(page);
  const parsed = header === null ? null : parseSegmentName(name, header.segmentBytes);
  if (header === null || parsed === null) return `${name} does not start with a wal page`;
  if (header.segmentBytes !== segmentBytes) return `${name} belongs to a cluster with another wal segment size`;
  const start = segmentStart(parsed.number, segmentBytes);
  if (header.pageAddress !== start) return `${name} starts at ${header.pageAddress}, expected ${start}`;
  if (header.timeline < 1 || header.timeline > parsed.timeline) {
    return `${name} starts on timeline ${String(header.timeline)}`;
  }
  return problemOfOrigin(header, expected);
}

function problemOfOrigin(
  header: WalPageHeader,
  { name, systemIdentifier, postgresMajor }: ExpectedSegment,
): string | null {
  if (systemIdentifier !== null && header.systemIdentifier !== systemIdentifier) {
    return `${name} belongs to system ${header.systemIdentifier}, expected ${systemIdentifier}`;
  }
  const magic = postgresMajor === null ? undefined : MAGIC_OF_MAJOR[postgresMajor];
  return magic === undefined || header.magic === magic
    ? null
    : `${name} was not written by PostgreSQL ${String(postgresMajor)}`;
}
