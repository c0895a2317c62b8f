/**
 * Why pg_waldump stopped: the WAL ends there, or it is damaged there. It says the same ("invalid record length … got 0") for a segment that
 * was archived half full and for one with a hole of zeros in it, so the bytes decide, not the words.
 */
import { lsnToBigInt, parseLsn, type Lsn } from '../../shared/lsn.js';

export type WaldumpComplaint = {
  /** Where the record or page starts that could not be read; null when the message names no place. */
  lsn: Lsn | null;
  /** First complaint, without the program's name. */
  message: string;
};

const PAGE_BYTES = 8192;
/** Fields of XLogPageHeaderData (src/include/access/xlog_internal.h), little-endian. */
const INFO_AT = 2;
const PAGE_ADDRESS_AT = 8;
const REMAINING_AT = 16;
const FIRST_IS_CONTRECORD = 0x0001;
const LONG_HEADER = 40;

/** First error of the program's stderr, null when there is none (notices such as "first record is after …" are none). */
export function parseComplaint(stderr: string): WaldumpComplaint | null {
  const line = stderr.split('\n').find((text) => /^pg_waldump: (error|fatal): /i.test(text));
  if (line === undefined) return null;
  const message = line.replace(/^pg_waldump: \w+: /, '');
  // "error in WAL record at A: … at B": A is the last good record, B the one that could not be read.
  const reason = message.replace(/^error in WAL record at [^:]+: /, '');
  const places = [...reason.matchAll(/(?:at|LSN) ([0-9A-F]{1,8}\/[0-9A-F]{1,8})/g)];
  return { lsn: parseLsn(places.at(-1)?.[1] ?? ''), message };
}

/**
 * True when nothing was ever written to `segment` from `lsn` on: zeros to the end of that page, and no later page carries its own
 * address. (Later pages may be zeros or leftovers of the recycled file, which carry an older address.) One readable page behind the
 * place means that the WAL went on, so what stands in between is damage.
 */
export function isUnwrittenFrom(segment: Buffer, segmentStart: bigint, lsn: Lsn): boolean {
  const offset = Number(lsnToBigInt(lsn) - segmentStart);
  if (offset < 0 || offset >= segment.length) return false;
  const nextPage = (Math.floor(offset / PAGE_BYTES) + 1) * PAGE_BYTES;
  const isPageStart = offset % PAGE_BYTES === 0;
  if (!isPageStart && segment.subarray(offset, nextPage).some((byte) => byte !== 0)) return false;
  for (let page = isPageStart ? offset : nextPage; page + PAGE_BYTES <= segment.length; page += PAGE_BYTES) {
    if (segment.readBigUInt64LE(page + PAGE_ADDRESS_AT) === segmentStart + BigInt(page)) return false;
  }
  return true;
}

/**
 * True when one record, begun before `firstSegment`, fills all of `segments` segments: no record begins in them (a very long logical message does
 * that). The page header counts the bytes of it that are left (xlp_rem_len).
 */
export function recordSpansAll(firstSegment: Buffer, segments: number): boolean {
  const continues = (firstSegment.readUInt16LE(INFO_AT) & FIRST_IS_CONTRECORD) !== 0;
  const room = segments * firstSegment.length * (1 - LONG_HEADER / PAGE_BYTES);
  return continues && firstSegment.readUInt32LE(REMAINING_AT) >= room;
}

/** True when the record that starts at `lsn` is longer than what is left of `segment` (xl_tot_len, the first field of a record; records are aligned, so it is never cut). */
export function recordLeaves(segment: Buffer, segmentStart: bigint, lsn: Lsn): boolean {
  const offset = Number(lsnToBigInt(lsn) - segmentStart);
  if (offset < 0 || offset + 4 > segment.length) return false;
  return offset + segment.readUInt32LE(offset) > segment.length;
}
