import fc from 'fast-check';

import type { ArchiveSegment, Run } from '../../activities/backup-store/holes.js';
import { COUNTED_SEGMENTS, findBoundary } from '../../activities/backup-store/resolve-target-boundary.js';
import { lostAfter } from '../../activities/backup-store/resolve-target-lost.js';
import { findXid } from '../../activities/backup-store/resolve-target-xid.js';
import { parseWalRecord, timeOf, xidOf, type WalRecord } from '../../activities/backup-store/waldump-record.js';
import type { WalReader } from '../../activities/backup-store/waldump-segments.js';
import type { Lsn } from '../../shared/lsn.js';

const SEGMENT = 16 * 1024 * 1024;
const hex = (value: number): string => value.toString(16).toUpperCase();

/** Commit number `n` (one a second) in segment `segment`. */
function commitLine(segment: number, index: number, n: number, second = n): string {
  const time = new Date(Date.UTC(2026, 0, 1, 0, 0, second)).toISOString().slice(0, 19).replace('T', ' ');
  return `rmgr: Transaction len (rec/tot):     34/    34, tx: ${String(1000 + n).padStart(10)}, lsn: 0/${hex(segment * SEGMENT + 0x1000 + index * 64)}, prev 0/0, desc: COMMIT ${time}.000000 UTC`;
}

/** An archive of segments with so many commits each, read without any program. Counts what is read. */
function fakeArchive(commitsPerSegment: number[], secondOf: (n: number) => number = (n) => n) {
  let n = 0;
  const lines = commitsPerSegment.map((count, segment) =>
    Array.from({ length: count }, (_, index) => {
      n += 1;
      return commitLine(segment, index, n, secondOf(n));
    }),
  );
  const reads: number[] = [];
  const reader: WalReader = {
    walSegmentBytes: SEGMENT,
    read(segments, _managers, visit) {
      for (const { number } of segments) {
        reads.push(Number(number));
        for (const line of lines[Number(number)] ?? []) {
          if (visit(parseWalRecord(line)!) === 'stop') return Promise.resolve();
        }
      }
      return Promise.resolve();
    },
    firstRecordAt: () => Promise.resolve(null),
  };
  const run: Run = commitsPerSegment.map((_, number) => ({ number: BigInt(number) }) as ArchiveSegment);
  return { reader, run, reads, total: n };
}

const keepUpTo = (n: number) => (commit: WalRecord) => Number(xidOf(commit)) > 1000 + n;
const numberOf = (record: WalRecord | null): number | null => (record === null ? null : Number(xidOf(record)) - 1000);

describe('looking for the boundary', () => {
  test('finds exactly the last kept and the first dropped commit, wherever the guess points and however idle segments are', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 0, max: 4 }), { minLength: 1, maxLength: 60 }),
        fc.nat(),
        fc.nat(),
        async (commits, target, guess) => {
          const { reader, run, total } = fakeArchive(commits);
          const last = total === 0 ? 0 : target % (total + 1);
          const found = await findBoundary(reader, run, keepUpTo(last), guess % commits.length);
          expect(numberOf(found.kept)).toBe(last === 0 ? null : last);
          expect(numberOf(found.dropped)).toBe(last === total ? null : last + 1);
          if (found.readToEnd) expect(found.droppedCount).toBe(total - last);
        },
      ),
      { numRuns: 500 },
    );
  });

  test('a right guess costs three segments of a long archive', async () => {
    const { reader, run, reads } = fakeArchive(Array<number>(1000).fill(10));
    await findBoundary(reader, run, keepUpTo(5003), 500);
    expect(reads).toEqual([499, 500, 501]);
  });

  test('a guess that is wrong by everything costs a handful of segments, not the archive', async () => {
    for (const guess of [0, 999]) {
      const { reader, run, reads } = fakeArchive(Array<number>(1000).fill(10));
      const found = await findBoundary(reader, run, keepUpTo(5003), guess);
      expect(numberOf(found.kept)).toBe(5003);
      expect(new Set(reads).size).toBeLessThan(30);
    }
  });

  test('near the end of the archive what is lost is counted in the same look', async () => {
    const { reader, run, reads } = fakeArchive(Array<number>(100).fill(10));
    const found = await findBoundary(reader, run, keepUpTo(955), 95);
    expect(found).toMatchObject({ readToEnd: true, droppedCount: 45 });
    expect(new Set(reads).size).toBeLessThanOrEqual(COUNTED_SEGMENTS);
    expect(reads).toHaveLength(new Set(reads).size);
  });

  test('commit times out of order: the first commit after the target ends what is kept, as in the server', async () => {
    const order = [1, 2, 4, 3, 5];
    const { reader, run } = fakeArchive([5], (n) => order[n - 1]!);
    const isDropped = (commit: WalRecord) => timeOf(commit) > '2026-01-01 00:00:03.000000';
    const found = await findBoundary(reader, run, isDropped, 0);
    expect([numberOf(found.kept), numberOf(found.dropped), found.outOfOrder]).toEqual([2, 3, true]);
  });
});

describe('what is lost behind the boundary', () => {
  const point = (xid: string, second: number) => ({
    xid,
    lsn: '0/1' as Lsn,
    time: `2026-01-01T00:00:0${second}.000000Z`,
  });
  const boundary = { kept: point('10', 1), dropped: point('11', 3) };
  const time = { target: { kind: 'time', value: '2026-01-01T00:00:02.000000Z' } } as const;

  test('is counted when everything was read, with the seconds from the target', () => {
    const read = { droppedCount: 5, readToEnd: true } as never;
    expect(lostAfter(time, boundary, point('20', 9), read)).toEqual({
      commits: 5,
      exact: true,
      seconds: 7,
      until: '2026-01-01T00:00:09.000000Z',
    });
  });

  test('is at most the transactions that began in between when it was not, and says so', () => {
    expect(lostAfter(time, boundary, point('20', 9), null)).toMatchObject({ commits: 10, exact: false });
  });

  test('is nothing when nothing is dropped', () => {
    expect(lostAfter(time, { kept: boundary.kept, dropped: null }, point('10', 1), null)).toMatchObject({
      commits: 0,
      exact: true,
      seconds: 0,
    });
  });
});

describe('the fate of a transaction', () => {
  const running = (segment: number, next: number, oldest: number): string =>
    `rmgr: Standby     len (rec/tot):     50/    50, tx:          0, lsn: 0/${hex(segment * SEGMENT + 0x100)}, prev 0/0, desc: RUNNING_XACTS nextXid ${next} latestCompletedXid ${next - 1} oldestRunningXid ${oldest}`;

  function archive(withLists: boolean, skipXid = -1) {
    const reads: number[] = [];
    const reader: WalReader = {
      walSegmentBytes: SEGMENT,
      read(segments, _managers, visit) {
        for (const { number } of segments) {
          const segment = Number(number);
          reads.push(segment);
          const first = segment * 10 + 1;
          const lines = withLists ? [running(segment, 1000 + first, 1000 + first)] : [];
          for (let index = 0; index < 10; index += 1) {
            if (first + index !== skipXid) lines.push(commitLine(segment, index, first + index));
          }
          for (const line of lines) if (visit(parseWalRecord(line)!) === 'stop') return Promise.resolve();
        }
        return Promise.resolve();
      },
      firstRecordAt: () => Promise.resolve(null),
    };
    const run = Array.from({ length: 200 }, (_, number) => ({ number: BigInt(number) }) as ArchiveSegment);
    return { reader, run, reads };
  }

  test.each([1, 777, 1995])('a commit is found by halving (%i)', async (n) => {
    const { reader, run, reads } = archive(true);
    const found = await findXid(reader, run, String(1000 + n));
    expect(found).toMatchObject({ fate: 'committed', topXid: String(1000 + n) });
    expect(reads.length).toBeLessThan(40);
  });

  test('without lists of running transactions everything is read rather than nothing claimed', async () => {
    const { reader, run } = archive(false);
    expect(await findXid(reader, run, '1777')).toMatchObject({ fate: 'committed' });
  });

  test('one that was over before is told apart from one that never ended and one that has not begun', async () => {
    const { reader, run } = archive(true, 777);
    expect((await findXid(reader, run, '900')).fate).toBe('ended');
    expect((await findXid(reader, run, '1777')).fate).toBe('unseen');
    expect((await findXid(reader, run, '99999')).fate).toBe('unseen');
  });
});
