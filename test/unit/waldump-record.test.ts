import {
  compareXids,
  endOf,
  fromWalTime,
  lsnOf,
  parseWalRecord,
  recordEnd,
  removedFilesOf,
  restorePointOf,
  runningOf,
  subtransactionsOf,
  timeOf,
  toWalTime,
  transactionPoint,
  xidOf,
} from '../../activities/backup-store/waldump-record.js';
import { waldumpArgs } from '../../activities/backup-store/waldump-command.js';
import type { Lsn } from '../../shared/lsn.js';

const SEGMENT = 16 * 1024 * 1024;

/** Recorded from pg_waldump 18.6; 17.10 prints the same. */
const COMMIT =
  'rmgr: Transaction len (rec/tot):     46/    46, tx:        754, lsn: 0/01742AE0, prev 0/01742AB8, desc: COMMIT 2026-11-21 05:54:29.294816 UTC; subxacts: 755 756';
const TRUNCATE =
  'rmgr: Transaction len (rec/tot):    361/   361, tx:        761, lsn: 0/01748828, prev 0/01748798, desc: COMMIT 2026-11-21 05:54:29.296845 UTC; rels: base/5/16390 base/5/16389; inval msgs: catcache 57 catcache 56 relcache 16384';
const PREPARED =
  'rmgr: Transaction len (rec/tot):     42/    42, tx:          0, lsn: 0/01742EA8, prev 0/01742DB0, desc: COMMIT_PREPARED 758: 2026-11-21 05:54:29.295559 UTC';
const ABORT =
  'rmgr: Transaction len (rec/tot):     34/    34, tx:        757, lsn: 0/01742B90, prev 0/01742B50, desc: ABORT 2026-11-21 05:54:29.295032 UTC';
const POINT =
  'rmgr: XLOG        len (rec/tot):     98/    98, tx:          0, lsn: 0/01742F08, prev 0/01742ED8, desc: RESTORE_POINT before migration; v2, x';
const RUNNING =
  'rmgr: Standby     len (rec/tot):     58/    58, tx:          0, lsn: 0/020002F0, prev 0/020002D0, desc: RUNNING_XACTS nextXid 767 latestCompletedXid 765 oldestRunningXid 766; 1 xacts: 766';
const SWITCH =
  'rmgr: XLOG        len (rec/tot):     24/    24, tx:          0, lsn: 0/01748E80, prev 0/01748CA0, desc: SWITCH ';

const record = (line: string) => parseWalRecord(line)!;

describe('lines of pg_waldump', () => {
  test('a commit has its transaction, place, time and subtransactions', () => {
    expect(record(COMMIT).kind).toBe('commit');
    expect(transactionPoint(record(COMMIT), SEGMENT)).toEqual({
      xid: '754',
      lsn: '0/1742AE0',
      time: '2026-11-21T05:54:29.294816Z',
      endLsn: '0/1742B10',
    });
    expect(subtransactionsOf(record(COMMIT))).toEqual(['755', '756']);
    expect(removedFilesOf(record(COMMIT))).toEqual([]);
  });

  test('a truncate shows as files that its commit removes', () => {
    expect(removedFilesOf(record(TRUNCATE))).toEqual(['base/5/16390', 'base/5/16389']);
    expect(subtransactionsOf(record(TRUNCATE))).toEqual([]);
  });

  test('a prepared transaction is named in the text, not by the session that committed it', () => {
    expect(record(PREPARED).kind).toBe('commit');
    expect(xidOf(record(PREPARED))).toBe('758');
    expect(timeOf(record(PREPARED))).toBe('2026-11-21 05:54:29.295559');
  });

  test('a rollback is not a commit', () => {
    expect([record(ABORT).kind, xidOf(record(ABORT)), timeOf(record(ABORT))]).toEqual([
      'abort',
      '757',
      '2026-11-21 05:54:29.295032',
    ]);
  });

  test('a restore point keeps the punctuation of its name, and names are utf-8', () => {
    expect(restorePointOf(record(POINT))).toBe('before migration; v2, x');
    const utf8 = POINT.replace('before migration', Buffer.from('före ändring', 'utf8').toString('latin1'));
    expect(restorePointOf(record(utf8))).toBe('före ändring; v2, x');
  });

  test('running transactions and the end of a segment are recognised', () => {
    expect(runningOf(record(RUNNING))).toEqual({ next: '767', oldest: '766' });
    expect(record(SWITCH).kind).toBe('switch');
  });

  test('what is no record is none: notices, the second line of a name with a line break, an empty line', () => {
    for (const line of ['', 'pg_waldump: first record is after 0/1, at 0/2, skipping over 1 bytes', 'x', 'rmgr: '])
      expect(parseWalRecord(line)).toBeNull();
  });

  test('a position above 4 GiB keeps its high part', () => {
    expect(lsnOf(record(COMMIT.replace('lsn: 0/01742AE0', 'lsn: 1A/B8FFEFB0')))).toBe('1A/B8FFEFB0');
  });

  test('times convert to the normal form and back', () => {
    expect(fromWalTime(toWalTime('2026-11-21T05:54:29.294816Z'))).toBe('2026-11-21T05:54:29.294816Z');
  });
});

describe('end of a record', () => {
  const end = (start: bigint, bytes: bigint): Lsn => recordEnd(start, bytes, BigInt(SEGMENT));

  test('is aligned to 8 bytes', () => {
    expect(endOf(record(ABORT), SEGMENT)).toBe('0/1742BB8');
  });

  test('leaps over the header of the next page', () => {
    expect(end(0x1ff0n, 34n)).toBe('0/2030'); // 16 bytes, header of 24, 24 bytes (34 aligned to 40)
  });

  test('that meets the end of a page is the page boundary, not behind its header', () => {
    expect(end(0x1fe0n, 32n)).toBe('0/2000');
  });

  test('leaps over the long header of the next segment', () => {
    expect(end(0xfffff0n, 32n)).toBe('0/1000038');
  });
});

describe('order of transaction ids', () => {
  test('wraps around at 2^32', () => {
    expect(compareXids('3', '5')).toBeLessThan(0);
    expect(compareXids('4294967290', '5')).toBeLessThan(0);
    expect(compareXids('5', '4294967290')).toBeGreaterThan(0);
    expect(compareXids('7', '7')).toBe(0);
  });
});

test('the arguments of pg_waldump name kinds, limits and segments', () => {
  expect(
    waldumpArgs({
      dir: '/scratch',
      firstSegment: '000000010000000000000001',
      lastSegment: '000000010000000000000003',
      managers: ['Transaction', 'XLOG'],
      startLsn: '0/1000028' as Lsn,
      endLsn: '0/3000100' as Lsn,
    }),
  ).toEqual([
    '--path=/scratch',
    '--rmgr=Transaction',
    '--rmgr=XLOG',
    '--start=0/1000028',
    '--end=0/3000100',
    '000000010000000000000001',
    '000000010000000000000003',
  ]);
});
