/**
 * Lines of `pg_waldump` (majors 15 to 18, zone UTC) as records. A segment of small transactions prints some 30,000 lines, so a line is
 * only sorted here by what it is; its fields are read when somebody asks for them.
 */
import type { TransactionPoint } from '../../shared/contracts/plan.js';
import { formatLsn, lsnToBigInt, type Lsn } from '../../shared/lsn.js';

type RecordKind = 'commit' | 'abort' | 'restore-point' | 'running-xacts' | 'switch' | 'other';

/** `detailsAt` is where the text behind the operation's name starts. */
export type WalRecord = { kind: RecordKind; line: string; detailsAt: number };

/** `YYYY-MM-DD HH:MM:SS.ssssss`, as the server programs print a time: of fixed length, so text order is time order. */
export type WalTime = string & { readonly __brand: 'WalTime' };

const WAL_TIME_LENGTH = 26;
const PAGE_BYTES = 8192n;
const SHORT_PAGE_HEADER = 24n;
const LONG_PAGE_HEADER = 40n;

const KINDS: Readonly<Record<string, RecordKind>> = {
  COMMIT: 'commit',
  COMMIT_PREPARED: 'commit',
  ABORT: 'abort',
  ABORT_PREPARED: 'abort',
  RESTORE_POINT: 'restore-point',
  RUNNING_XACTS: 'running-xacts',
  SWITCH: 'switch',
};

/** The record of one line; null for a line that is none (the rest of a name with a line break in it, say). */
export function parseWalRecord(line: string): WalRecord | null {
  if (!line.startsWith('rmgr: ')) return null;
  const desc = line.indexOf(', desc: ');
  if (desc < 0) return null;
  const nameAt = desc + 8;
  const space = line.indexOf(' ', nameAt);
  const end = space < 0 ? line.length : space;
  return { kind: KINDS[line.slice(nameAt, end)] ?? 'other', line, detailsAt: end + 1 };
}

/** Where the record starts. */
export function lsnOf(record: WalRecord): Lsn {
  return formatLsn(positionOf(record));
}

/** {@link lsnOf} as bytes since the start of the WAL. */
export function positionOf(record: WalRecord): bigint {
  const at = record.line.indexOf(', lsn: ') + 7;
  return lsnToBigInt(record.line.slice(at, record.line.indexOf(',', at)) as Lsn);
}

/**
 * Transaction of a commit or abort: the top-level one. Records about prepared transactions carry theirs in the text
 * (`COMMIT_PREPARED 758: 2026-…`), because the session that ends them is another transaction.
 */
export function xidOf(record: WalRecord): string {
  const prepared = /^(\d+): /.exec(record.line.slice(record.detailsAt, record.detailsAt + 14));
  if (prepared?.[1] !== undefined) return prepared[1];
  const at = record.line.indexOf(', tx: ') + 6;
  return record.line.slice(at, record.line.indexOf(',', at)).trim();
}

/** Commit or abort time. */
export function timeOf(record: WalRecord): WalTime {
  const { line, detailsAt } = record;
  if (line.charCodeAt(detailsAt + 4) === 45 /* the dash after the year */) {
    return line.slice(detailsAt, detailsAt + WAL_TIME_LENGTH) as WalTime;
  }
  const at = line.indexOf(': ', detailsAt) + 2;
  return line.slice(at, at + WAL_TIME_LENGTH) as WalTime;
}

/** Subtransactions that ended together with the transaction of this record. */
export function subtransactionsOf(record: WalRecord): string[] {
  const list = /; subxacts: ([\d ]+)/.exec(record.line.slice(record.detailsAt));
  return list?.[1]?.trim().split(' ') ?? [];
}

/** Relation files that the transaction removed, as `base/5/16390`: all that shows of a TRUNCATE or DROP at wal_level=replica. */
export function removedFilesOf(record: WalRecord): string[] {
  const list = /; rels: ([^;]+)/.exec(record.line.slice(record.detailsAt));
  return list?.[1]?.trim().split(' ') ?? [];
}

/** Name given to `pg_create_restore_point()`. Lines are read as latin1, one character a byte; names are UTF-8. */
export function restorePointOf(record: WalRecord): string {
  return Buffer.from(record.line.slice(record.detailsAt), 'latin1').toString('utf8');
}

/**
 * What was running when a RUNNING_XACTS record was written: transactions below `oldest` had ended, those from `next` on had not begun. (Checkpoints
 * carry such numbers too, but older ones than their place in the WAL.)
 */
export function runningOf(record: WalRecord): { next: string; oldest: string } | null {
  const found = /nextXid (\d+) .*oldestRunningXid (\d+)/.exec(record.line.slice(record.detailsAt));
  return found?.[1] === undefined || found[2] === undefined ? null : { next: found[1], oldest: found[2] };
}

/** First byte after the record, aligned as the server aligns it: what `pg_last_wal_replay_lsn()` says once it is replayed. */
export function endOf(record: WalRecord, walSegmentBytes: number): Lsn {
  const total = /^rmgr: \S+ +len \(rec\/tot\): +\d+\/ *(\d+),/.exec(record.line)?.[1] ?? '0';
  return recordEnd(positionOf(record), BigInt(total), BigInt(walSegmentBytes));
}

/**
 * A record that does not fit on its page goes on behind the header of the next one (src/include/access/xlog_internal.h: 24 bytes, 40 on
 * the first page of a segment). Pages of 8 kB, the only size that packages are built with.
 */
export function recordEnd(start: bigint, totalBytes: bigint, segmentBytes: bigint): Lsn {
  let position = start;
  let left = (totalBytes + 7n) & ~7n;
  for (;;) {
    const pageEnd = (position / PAGE_BYTES + 1n) * PAGE_BYTES;
    if (left <= pageEnd - position) return formatLsn(position + left);
    left -= pageEnd - position;
    position = pageEnd + (pageEnd % segmentBytes === 0n ? LONG_PAGE_HEADER : SHORT_PAGE_HEADER);
  }
}

/** A commit in the words of plans. */
export function transactionPoint(record: WalRecord, walSegmentBytes: number): TransactionPoint {
  return {
    xid: xidOf(record),
    lsn: lsnOf(record),
    time: fromWalTime(timeOf(record)),
    endLsn: endOf(record, walSegmentBytes),
  };
}

/** A time in the normal form of shared/target-time.ts as the server programs print it. */
export function toWalTime(time: string): WalTime {
  return time.slice(0, WAL_TIME_LENGTH).replace('T', ' ') as WalTime;
}

export function fromWalTime(time: WalTime): string {
  return `${time.replace(' ', 'T')}Z`;
}

/** Order of two transaction ids, which wrap around at 2^32 (PostgreSQL docs, "Preventing Transaction ID Wraparound Failures"). */
export function compareXids(a: string, b: string): number {
  return (Number(a) - Number(b)) | 0;
}
