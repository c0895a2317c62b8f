/** Which files make up the WAL of a recovery, over timelines and odd archives. */
import { planWal } from '../../activities/backup-store/mover-wal-plan.js';
import { listWalFiles, parseWalObjectName, type WalFile } from '../../activities/backup-store/wal-archive.js';
import { problemOfSegment, readWalPageHeader } from '../../activities/backup-store/wal-page.js';
import { parseHistory } from '../../shared/timeline.js';
import { SEGMENT_BYTES, SYSTEM_IDENTIFIER, segmentOf } from '../support/wal-segment.js';

const file = (name: string): WalFile => ({
  name,
  key: `wal/${name}.lz4`,
  compression: 'lz4',
  bytes: 1,
  archivedAt: '2026-11-21T00:00:00.000Z',
});
const segment = (timeline: number, number: number): string =>
  `0000000${String(timeline)}00000000${number.toString(16).toUpperCase().padStart(8, '0')}`;

function plan(names: string[], timeline: number, first: string, last: string, history = '') {
  const wal = { timeline, firstSegment: first, lastSegment: last, walSegmentBytes: SEGMENT_BYTES, dir: '/spool' };
  const result = planWal(wal, names.map(file), parseHistory(history) ?? []);
  return {
    segments: result.segments.map(({ name, file: { name: stored } }) =>
      name === stored ? name : `${name} < ${stored}`,
    ),
    histories: result.histories.map(({ name }) => name),
    missing: result.missing,
  };
}

test('one timeline: the segments in their order, holes named', () => {
  const names = [segment(1, 4), segment(1, 2), segment(1, 3), segment(1, 6)];
  expect(plan(names, 1, segment(1, 2), segment(1, 4))).toEqual({
    segments: [segment(1, 2), segment(1, 3), segment(1, 4)],
    histories: [],
    missing: [],
  });
  expect(plan(names, 1, segment(1, 3), segment(1, 6)).missing).toEqual([segment(1, 5)]);
});

test('over a switch of timelines: ancestors before it, the new one from its first segment on, every history file', () => {
  // Timeline 2 begins in segment 5.
  const names = [3, 4, 5].map((number) => segment(1, number)).concat([5, 6].map((number) => segment(2, number)));
  const all = [...names, '00000002.history', '00000003.history'];
  expect(plan(all, 2, segment(1, 4), segment(2, 6), '1\t0/5800000\tno recovery target specified\n')).toEqual({
    segments: [segment(1, 4), segment(2, 5), segment(2, 6)],
    histories: ['00000002.history', '00000003.history'],
    missing: [],
  });
});

test('the segment of a switch that only the ancestor archived is used; later ones of the ancestor never', () => {
  const history = '1\t0/5800000\tno recovery target specified\n';
  const names = [segment(1, 4), segment(1, 5), segment(1, 6)];
  const planned = plan(names, 2, segment(1, 4), segment(2, 6), history);
  expect(planned.segments).toEqual([segment(1, 4), segment(1, 5)]);
  expect(planned.missing).toEqual([segment(2, 6)]);
});

test('the last segment of a timeline may be there as .partial only', () => {
  const names = [segment(1, 4), `${segment(1, 5)}.partial`];
  expect(plan(names, 1, segment(1, 4), segment(1, 5)).segments).toEqual([
    segment(1, 4),
    `${segment(1, 5)} < ${segment(1, 5)}.partial`,
  ]);
});

test.each([
  ['000000010000000000000031', '000000010000000000000031', 'none'],
  ['000000010000000000000031.lz4', '000000010000000000000031', 'lz4'],
  ['000000010000000000000031.partial.zst', '000000010000000000000031.partial', 'zst'],
  ['000000010000000000000031.00000028.backup', '000000010000000000000031.00000028.backup', 'none'],
  ['0000000A.history.gz', '0000000A.history', 'gz'],
])('%s is a file of the archive', (object, name, compression) => {
  expect(parseWalObjectName(object)).toEqual({ name, compression });
});

test.each([
  '000000010000000000000031.tmp',
  'backup_label',
  '00000001000000000000003',
  'x/000000010000000000000031',
  '',
])('"%s" is none', (object) => {
  expect(parseWalObjectName(object)).toBeNull();
});

test('a file in several compressions is listed once, and names of strangers not at all', async () => {
  const keys = ['000000010000000000000032.gz', '000000010000000000000031', '000000010000000000000031.gz', 'README'];
  const objects = {
    list: (prefix: string) =>
      Promise.resolve(keys.map((key) => ({ key: prefix + key, bytes: 1, lastModified: '2026-11-21T00:00:00.000Z' }))),
  };
  const listed = await listWalFiles(objects, 'archive/');
  expect(listed.map(({ key }) => key)).toEqual([
    'archive/000000010000000000000031',
    'archive/000000010000000000000032.gz',
  ]);
});

test('the first page tells a segment of another cluster, place or version', () => {
  const name = segment(1, 7);
  const expected = { name, segmentBytes: SEGMENT_BYTES, systemIdentifier: SYSTEM_IDENTIFIER, postgresMajor: 18 };
  const good = segmentOf(name);
  expect(readWalPageHeader(good)).toMatchObject({ timeline: 1, pageAddress: '0/7000000', segmentBytes: SEGMENT_BYTES });
  expect(problemOfSegment(good, expected)).toBeNull();
  // Where timeline 3 begins, its first segment starts with pages of an ancestor.
  expect(problemOfSegment(good, { ...expected, name: segment(3, 7) })).toBeNull();
  expect(problemOfSegment(segmentOf(segment(2, 7)), expected)).toContain('starts on timeline 2');
  expect(problemOfSegment(good, { ...expected, name: segment(1, 8) })).toContain(
    'starts at 0/7000000, expected 0/8000000',
  );
  expect(problemOfSegment(good, { ...expected, systemIdentifier: '7' })).toContain('belongs to system');
  expect(problemOfSegment(good, { ...expected, postgresMajor: 17 })).toContain('not written by PostgreSQL 17');
  expect(problemOfSegment(good.subarray(1), expected)).toContain('bytes instead of');
  expect(problemOfSegment(Buffer.alloc(SEGMENT_BYTES), expected)).toContain('does not start with a wal page');
});
