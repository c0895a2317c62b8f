import {
  isUnwrittenFrom,
  parseComplaint,
  recordLeaves,
  recordSpansAll,
} from '../../activities/backup-store/waldump-end.js';
import type { Lsn } from '../../shared/lsn.js';

const PAGE = 8192;
const START = 0x3000000n;

const at = (offset: number): Lsn => `0/${(START + BigInt(offset)).toString(16).toUpperCase()}` as Lsn;

/** A segment of `pages` pages of which the first `written` carry their own address and some content. */
function segment(pages: number, written: number): Buffer {
  const bytes = Buffer.alloc(pages * PAGE);
  for (let page = 0; page < written; page += 1) {
    bytes.fill(0xab, page * PAGE, (page + 1) * PAGE);
    bytes.writeBigUInt64LE(START + BigInt(page * PAGE), page * PAGE + 8);
  }
  return bytes;
}

describe('complaints of pg_waldump', () => {
  test.each([
    [
      'pg_waldump: error: error in WAL record at 0/3061228: invalid record length at 0/3061260: expected at least 24, got 0',
      '0/3061260',
    ],
    [
      'pg_waldump: error: error in WAL record at 0/1742AB8: incorrect resource manager data checksum in record at 0/1742AE0',
      '0/1742AE0',
    ],
    [
      'pg_waldump: error: error in WAL record at 0/1741FB8: invalid magic number 0000 in WAL segment 000000010000000000000001, LSN 0/1742000, offset 7610368',
      '0/1742000',
    ],
    ['pg_waldump: fatal: error in WAL record at 0/1: record with incorrect prev-link 0/5 at 0/30', '0/30'],
    ['pg_waldump: error: could not find a valid record after 0/1742AE5', null],
    ['pg_waldump: error: could not read file "000000010000000000000001": read 0 of 8192', null],
  ])('%s', (line, lsn) => {
    expect(parseComplaint(`pg_waldump: first record is after 0/1\n${line}\n`)?.lsn).toBe(lsn);
  });

  test('a notice is no complaint', () => {
    expect(
      parseComplaint('pg_waldump: first record is after 0/1742AE5, at 0/1742B10, skipping over 43 bytes\n'),
    ).toBeNull();
  });
});

describe('whether the wal ends at a place', () => {
  test('zeros to the end of the segment are its end', () => {
    const bytes = segment(4, 2);
    bytes.fill(0, PAGE + 4000, 2 * PAGE);
    expect(isUnwrittenFrom(bytes, START, at(PAGE + 4000))).toBe(true);
    expect(isUnwrittenFrom(bytes, START, at(2 * PAGE))).toBe(true);
  });

  test('pages of a recycled file behind it are leftovers', () => {
    const bytes = segment(4, 2);
    bytes.fill(0xcd, 2 * PAGE);
    bytes.writeBigUInt64LE(START - 0x1000000n, 2 * PAGE + 8);
    expect(isUnwrittenFrom(bytes, START, at(2 * PAGE))).toBe(true);
  });

  test('a zeroed page with a good one behind it is damage', () => {
    const bytes = segment(4, 4);
    bytes.fill(0, PAGE, 2 * PAGE);
    expect(isUnwrittenFrom(bytes, START, at(PAGE))).toBe(false);
  });

  test('a record with wrong bytes on the last page is damage, not the end', () => {
    expect(isUnwrittenFrom(segment(4, 4), START, at(3 * PAGE + 800))).toBe(false);
  });

  test('a place outside of the segment proves nothing', () => {
    expect(isUnwrittenFrom(segment(4, 2), START, at(-8))).toBe(false);
    expect(isUnwrittenFrom(segment(4, 2), START, at(4 * PAGE))).toBe(false);
  });
});

test('a segment that one long record fills holds no record of its own', () => {
  const bytes = segment(4, 4);
  bytes.writeUInt16LE(0x0001, 2);
  bytes.writeUInt32LE(5 * PAGE, 16);
  expect(recordSpansAll(bytes, 1)).toBe(true);
  expect(recordSpansAll(bytes, 2)).toBe(false);
  bytes.writeUInt16LE(0, 2);
  expect(recordSpansAll(bytes, 1)).toBe(false);
});

test('a record that is longer than the rest of its segment goes on in the next one', () => {
  const bytes = segment(2, 2);
  bytes.writeUInt32LE(200, 2 * PAGE - 104);
  expect(recordLeaves(bytes, START, at(2 * PAGE - 104))).toBe(true);
  bytes.writeUInt32LE(104, 2 * PAGE - 104);
  expect(recordLeaves(bytes, START, at(2 * PAGE - 104))).toBe(false);
  expect(recordLeaves(bytes, START, at(2 * PAGE))).toBe(false);
  expect(recordLeaves(bytes, START, at(-8))).toBe(false);
});
