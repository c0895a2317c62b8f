/** Which files of Barman's directories count as WAL, and in what form. */
import { parseListing, type FoundFile } from '../../../activities/backup-store/barman/files.js';
import { formOf, walOf } from '../../../activities/backup-store/barman/wal-files.js';

const PAGE = Buffer.from('18d1020001000000', 'hex');
const GZIP = Buffer.from('1f8b0800', 'hex');
const A = '000000010000000000000001';
const B = '000000010000000000000002';
const C = '000000010000000000000003';

const file = (name: string, head: Buffer = PAGE): FoundFile => ({
  path: `/b/${name}`,
  name,
  bytes: 16 * 1024 * 1024,
  modifiedMs: 0,
  head,
});
const seen = (...found: Parameters<typeof walOf>[0]) =>
  walOf(found).map(({ name, form, isGrowing }) => `${name.slice(-1)} ${form}${isGrowing ? ' growing' : ''}`);

test('what is on its way into the archive counts, and the segment that is being received under its own name', () => {
  expect(
    seen(
      { place: 'archive', files: [file(A, GZIP)] },
      { place: 'incoming', files: [] },
      { place: 'streaming', files: [file(B), file(`${C}.partial`)] },
    ),
  ).toEqual(['1 gz', '2 none', '3 none growing']);
});

test('a segment that is complete counts, not the .partial that was left of it', () => {
  expect(
    seen({ place: 'archive', files: [file(A, GZIP)] }, { place: 'streaming', files: [file(`${A}.partial`)] }),
  ).toEqual(['1 gz']);
});

test('a .partial that nothing was received into is not there', () => {
  expect(seen({ place: 'streaming', files: [file(`${A}.partial`, Buffer.alloc(16))] })).toEqual([]);
  expect(seen({ place: 'streaming', files: [file(`${A}.partial`, Buffer.alloc(0))] })).toEqual([]);
});

test('a .partial in the archive stays what it is: the end of an older timeline', () => {
  const [found] = walOf([{ place: 'archive', files: [file(`${A}.partial`)] }]);
  expect(found).toMatchObject({ name: `${A}.partial`, isGrowing: false });
});

test('files of others are none', () => {
  const names = ['main-xlog.db', `.${A}.tmp`, `${A}.tmp`, 'README', A.slice(1)];
  expect(seen({ place: 'archive', files: names.map((name) => file(name)) })).toEqual([]);
});

test.each<[string, string, string]>([
  [A, '18d10200', 'none'],
  [A, '1f8b08', 'gz'],
  [A, '28b52ffd', 'zst'],
  [A, '04224d18', 'lz4'],
  // bzip2, xz, snappy, gpg
  [A, '425a6839', 'by-command'],
  [A, 'fd377a58', 'by-command'],
  [A, 'ff060000', 'by-command'],
  [A, '850204', 'by-command'],
  // A damaged segment is not asked of Barman, which would hand out the same.
  [A, '00000000', 'none'],
  ['00000002.history', '310930', 'none'],
  ['00000002.history', '850204', 'by-command'],
  [`${A}.00000028.backup`, '5354', 'none'],
])('%s beginning with %s is %s', (name, head, form) => {
  expect(formOf({ name, head: Buffer.from(head, 'hex') })).toBe(form);
});

test('the listing of another machine is read line by line', () => {
  const found = parseListing(`16777216 1795286905123 18d1 /b/wals/0000000100000000/${A}\n12 5 - /b/my wals/x\nnoise\n`);
  expect(found).toEqual([
    {
      path: `/b/wals/0000000100000000/${A}`,
      name: A,
      bytes: 16777216,
      modifiedMs: 1795286905123,
      head: Buffer.from('18d1', 'hex'),
    },
    { path: '/b/my wals/x', name: 'x', bytes: 12, modifiedMs: 5, head: Buffer.alloc(0) },
  ]);
});
