import fc from 'fast-check';

import { archiveStretches, runHolding } from '../../activities/backup-store/holes.js';
import {
  chainSegmentNames,
  isOnChain,
  timelineOfLsn,
  timelineOfSegment,
  timelineSpans,
} from '../../activities/backup-store/timeline-chain.js';
import { chooseTimeline } from '../../activities/backup-store/timeline-choice.js';
import type { WalFile } from '../../activities/backup-store/wal-archive.js';
import { compareLsn, formatLsn, lsnToBigInt, parseLsn, type Lsn } from '../../shared/lsn.js';
import { parseHistory, parseSegmentName, segmentName, segmentNumberOf, segmentStart } from '../../shared/timeline.js';

const SEGMENT = 16 * 1024 * 1024;
const lsn = (text: string): Lsn => parseLsn(text)!;
const file = (name: string): WalFile => ({ name, key: `wal/${name}`, compression: 'none', bytes: 1, archivedAt: '' });
/** Timeline 3 branched off 2 in segment 7, 2 off 1 in segment 4. */
const switches = parseHistory('1\t0/4000100\tno recovery target specified\n2\t0/7A00000\tbefore 2026-11-21\n')!;
const spans = timelineSpans(3, switches);
const name = (timeline: number, number: number): string => segmentName(timeline, BigInt(number), SEGMENT);

describe('the line of timelines', () => {
  test('the segment in which a timeline begins is used under its own name', () => {
    const used = [1, 2, 3, 4, 5, 6, 7, 8].map((number) => timelineOfSegment(spans, BigInt(number), SEGMENT));
    expect(used).toEqual([1, 1, 1, 2, 2, 2, 3, 3]);
  });

  test('a record belongs to the timeline that was current where it starts', () => {
    expect([lsn('0/40000F8'), lsn('0/4000100'), lsn('0/7A00000')].map((at) => timelineOfLsn(spans, at))).toEqual([
      1, 2, 3,
    ]);
  });

  test('a base taken on a timeline after it was left is not in the history', () => {
    expect(isOnChain(spans, 1, lsn('0/4000100'))).toBe(true);
    expect(isOnChain(spans, 1, lsn('0/4000108'))).toBe(false);
    expect(isOnChain(spans, 3, lsn('9/0'))).toBe(true);
    expect(isOnChain(spans, 4, lsn('0/1'))).toBe(false);
  });

  test('names of a range follow the switches and end before the byte that is not needed', () => {
    expect(chainSegmentNames(spans, lsn('0/3000028'), lsn('0/5000000'), SEGMENT)).toEqual([name(1, 3), name(2, 4)]);
    expect(chainSegmentNames(spans, lsn('0/3000028'), lsn('0/5000001'), SEGMENT)).toHaveLength(3);
  });
});

describe('stretches of the archive', () => {
  const numbersOf = (names: string[], first = 1n) => {
    const { runs, gaps } = archiveStretches(spans, names.map(file), first, SEGMENT);
    return { runs: runs.map((run) => run.map((segment) => segment.name)), gaps };
  };

  test('other timelines, history and backup files are not part of the line', () => {
    const { runs, gaps } = numbersOf([
      name(1, 1),
      name(1, 2),
      name(1, 3),
      name(1, 4),
      name(1, 5), // the old primary went on for a while
      name(2, 4),
      `${name(1, 2)}.00000028.backup`,
      '00000002.history',
    ]);
    expect(runs).toEqual([[name(1, 1), name(1, 2), name(1, 3), name(2, 4)]]);
    expect(gaps).toEqual([]);
  });

  test('a hole is named by its first and last missing segment and the timeline it is on', () => {
    const { runs, gaps } = numbersOf([name(1, 1), name(2, 5), name(2, 6)]);
    expect(runs).toHaveLength(2);
    expect(gaps).toEqual([{ timeline: 1, firstMissing: name(1, 2), lastMissing: name(2, 4) }]);
  });

  test('what is missing before the first archived segment is a hole too', () => {
    const { gaps } = numbersOf([name(1, 3)]);
    expect(gaps).toEqual([{ timeline: 1, firstMissing: name(1, 1), lastMissing: name(1, 2) }]);
  });

  test('right after a promotion the old copy, even a partial one, holds the wal up to the switch', () => {
    const young = timelineSpans(2, switches.slice(0, 1));
    for (const copy of [name(1, 4), `${name(1, 4)}.partial`]) {
      const { runs } = archiveStretches(young, [name(1, 3), copy].map(file), 3n, SEGMENT);
      expect(runs[0]?.at(-1)).toMatchObject({ number: 4n, endLsn: '0/4000100', isNewest: true, file: { name: copy } });
      expect(runHolding(runs, lsn('0/3000028'), lsn('0/4000100'), SEGMENT)).toBe(0);
      expect(runHolding(runs, lsn('0/3000028'), lsn('0/4000108'), SEGMENT)).toBe(-1);
    }
  });

  test('a partial copy is not used once the newer timeline has the segment, nor on the current timeline', () => {
    const young = timelineSpans(2, switches.slice(0, 1));
    const names = [name(1, 3), `${name(1, 4)}.partial`, name(2, 4), `${name(2, 5)}.partial`];
    const { runs } = archiveStretches(young, names.map(file), 3n, SEGMENT);
    expect(runs.map((run) => run.map((segment) => segment.file.name))).toEqual([[name(1, 3), name(2, 4)]]);
  });

  test('only the newest segment may have been archived before it was full', () => {
    const { runs } = archiveStretches(spans, [name(1, 1), name(1, 2), name(2, 5)].map(file), 1n, SEGMENT);
    expect(runs.flat().map((segment) => segment.isNewest)).toEqual([false, false, true]);
  });
});

describe('which timeline is production', () => {
  const facts = { live: null, archived: [1, 2, 3], abandoned: [], newestBase: 1 };

  test('that of the live primary, whatever else is archived', () => {
    expect(chooseTimeline({ ...facts, live: 2 })).toEqual({ timeline: 2, warnings: [] });
  });

  test('without one the newest that is not abandoned, and the guess is said', () => {
    expect(chooseTimeline({ ...facts, abandoned: [3] })).toMatchObject({ timeline: 2, warnings: [expect.any(String)] });
    expect(chooseTimeline({ ...facts, archived: [1] })).toEqual({ timeline: 1, warnings: [] });
  });

  test('without wal that of the newest base, and without anything none', () => {
    expect(chooseTimeline({ ...facts, archived: [], newestBase: 4 })?.timeline).toBe(4);
    expect(chooseTimeline({ live: null, archived: [], abandoned: [], newestBase: null })).toBeNull();
  });
});

describe('lsn and segment names', () => {
  const anyLsn = fc.bigInt({ min: 0n, max: 0xffff_ffff_ffff_ffffn }).map(formatLsn);
  const anySize = fc.constantFrom(1, 4, 16, 64, 1024).map((mib) => mib * 1024 * 1024);

  test('an lsn reads back as it was written, in any case and with leading zeros', () => {
    fc.assert(
      fc.property(anyLsn, (value) => {
        expect(parseLsn(value.toLowerCase())).toBe(value);
        const [high = '', low = ''] = value.split('/');
        expect(parseLsn(`${high.padStart(8, '0')}/${low.padStart(8, '0')}`)).toBe(value);
      }),
    );
  });

  test('lsns are ordered as positions, not as text', () => {
    expect(compareLsn(lsn('0/9'), lsn('0/10'))).toBeLessThan(0);
    fc.assert(
      fc.property(anyLsn, anyLsn, (a, b) => {
        expect(Math.sign(compareLsn(a, b))).toBe(
          Math.sign(Number(lsnToBigInt(a) > lsnToBigInt(b)) - Number(lsnToBigInt(a) < lsnToBigInt(b))),
        );
      }),
    );
  });

  test('a segment name reads back, for every segment size', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 0x7fffffff }), anyLsn, anySize, (timeline, at, size) => {
        const number = segmentNumberOf(at, size);
        expect(parseSegmentName(segmentName(timeline, number, size), size)).toMatchObject({ timeline, number });
        expect(lsnToBigInt(segmentStart(number, size))).toBeLessThanOrEqual(lsnToBigInt(at));
        expect(lsnToBigInt(at) - lsnToBigInt(segmentStart(number, size))).toBeLessThan(BigInt(size));
      }),
    );
  });

  test('names of segments sort as their numbers', () => {
    fc.assert(
      fc.property(anyLsn, anyLsn, (a, b) => {
        const [x, y] = [segmentName(1, segmentNumberOf(a)), segmentName(1, segmentNumberOf(b))];
        expect(x < y).toBe(segmentNumberOf(a) < segmentNumberOf(b));
      }),
    );
  });
});
