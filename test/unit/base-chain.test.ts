import { judgeBases, pickBase, type BaseJudge } from '../../activities/backup-store/base-chain.js';
import type { BaseHeader } from '../../activities/backup-store/base-catalog.js';
import { archiveStretches } from '../../activities/backup-store/holes.js';
import { timelineSpans } from '../../activities/backup-store/timeline-chain.js';
import type { WalFile } from '../../activities/backup-store/wal-archive.js';
import { parseLsn, type Lsn } from '../../shared/lsn.js';
import { segmentName } from '../../shared/timeline.js';

const SEGMENT = 16 * 1024 * 1024;
const lsn = (text: string): Lsn => parseLsn(text)!;

function base(id: string, segment: number, more: Partial<BaseHeader> = {}): BaseHeader {
  const hex = segment.toString(16).toUpperCase();
  return {
    id,
    kind: 'full',
    systemIdentifier: '7',
    postgresMajor: 18,
    walSegmentBytes: SEGMENT,
    timeline: 1,
    startLsn: lsn(`0/${hex}000028`),
    stopLsn: lsn(`0/${hex}000120`),
    startedAt: `2026-01-01T00:00:${String(segment).padStart(2, '0')}.000Z`,
    endedAt: `2026-01-01T00:00:${String(segment).padStart(2, '0')}.500Z`,
    parentId: null,
    sizes: { bytes: 1, rawBytes: 1, restoredBytes: 1, files: 1, chunks: 1 },
    ...more,
  } as BaseHeader;
}

function judge(
  missing: number[] = [],
  switches: { timeline: number; switchLsn: Lsn; reason: string }[] = [],
): BaseJudge {
  const spans = timelineSpans(switches.length + 1, switches);
  const files = Array.from({ length: 20 }, (_, number) => number)
    .filter((number) => number > 0 && !missing.includes(number))
    .map((number): WalFile => {
      const timeline = switches.length > 0 && number >= 10 ? 2 : 1;
      const name = segmentName(timeline, BigInt(number), SEGMENT);
      return { name, key: name, compression: 'none', bytes: 1, archivedAt: '' };
    });
  return {
    systemIdentifier: '7',
    spans,
    runs: archiveStretches(spans, files, 1n, SEGMENT).runs,
    walSegmentBytes: SEGMENT,
  };
}

const whyOf = (headers: BaseHeader[], by: BaseJudge): Record<string, string | null> =>
  Object.fromEntries(judgeBases(headers, by).map(({ header, why }) => [header.id, why]));

describe('usable bases', () => {
  test('a chain of incrementals reaches its full base', () => {
    const headers = [
      base('i2', 5, { kind: 'incremental', parentId: 'i1' }),
      base('i1', 4, { kind: 'incremental', parentId: 'f' }),
      base('f', 3),
    ];
    const judged = judgeBases(headers, judge());
    expect(judged.map(({ header }) => header.id)).toEqual(['f', 'i1', 'i2']);
    expect(judged.at(-1)?.chain.map(({ id }) => id)).toEqual(['f', 'i1', 'i2']);
    expect(judged.every(({ why }) => why === null)).toBe(true);
  });

  test('a missing parent, a circle and a parent of another system make a base useless, and it says why', () => {
    expect(
      whyOf(
        [
          base('a', 3, { kind: 'incremental', parentId: 'gone' }),
          base('b', 4, { kind: 'incremental', parentId: 'c' }),
          base('c', 5, { kind: 'incremental', parentId: 'b' }),
          base('d', 6, { systemIdentifier: '8' }),
          base('e', 7, { kind: 'incremental', parentId: 'd' }),
          base('f', 8, { kind: 'incremental' }),
        ],
        judge(),
      ),
    ).toEqual({
      a: 'its parent gone is missing',
      b: 'its parents form a circle at b',
      c: 'its parents form a circle at c',
      d: 'it is of system 8, production is 7',
      e: 'its parent d: it is of system 8, production is 7',
      f: 'base f is incremental and names no parent',
    });
  });

  test('wal that is missing inside the base makes it useless, wal missing behind it does not', () => {
    expect(whyOf([base('a', 3), base('b', 4)], judge([3, 5]))).toEqual({
      a: `its wal segment ${segmentName(1, 3n, SEGMENT)} is missing in the archive`,
      b: null,
    });
  });

  test('a base of an ancestor counts up to the switch, one taken there after it does not', () => {
    const switches = [{ timeline: 1, switchLsn: lsn('0/A000200'), reason: '' }];
    expect(whyOf([base('a', 9), base('b', 12), base('c', 13, { timeline: 2 })], judge([], switches))).toEqual({
      a: null,
      b: 'it was taken on timeline 1 at 0/C000120, which is not in the history of timeline 2',
      c: null,
    });
  });
});

describe('the base of a recovery', () => {
  const judged = judgeBases([base('a', 3), base('b', 6), base('c', 9)], judge());

  test('is the newest one that was consistent before the first dropped commit', () => {
    expect(pickBase(judged, 0, lsn('0/8000000'))?.header.id).toBe('b');
    expect(pickBase(judged, 0, lsn('0/6000120'))?.header.id).toBe('b');
    expect(pickBase(judged, 0, lsn('0/600011F'))?.header.id).toBe('a');
    expect(pickBase(judged, 0, null)?.header.id).toBe('c');
  });

  test('is none when all ended too late, or lie behind a hole', () => {
    expect(pickBase(judged, 0, lsn('0/3000000'))).toBeNull();
    expect(pickBase(judged, 1, null)).toBeNull();
  });
});
