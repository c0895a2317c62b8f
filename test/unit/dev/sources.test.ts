/**
 * Scenario: the newest complete dump is chosen and fetched.
 * Verified: 1 the day in the key counts before the time of writing; 2 what lies beside dumps is none; 3 a directory without its table of contents is not
 * complete; 4 a fetch that broke off goes on, one of another object begins anew.
 */
import { mkdir, mkdtemp, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { createFileSource } from '../../../activities/backup-store/dump-sources/file-source.js';
import { dayOf } from '../../../activities/backup-store/dump-sources/names.js';
import { createS3Source, dumpsOf } from '../../../activities/backup-store/dump-sources/s3-source.js';
import { directoryObjects } from '../../support/directory-objects.js';

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'pgr-sources-'));
});
afterEach(async () => rm(dir, { recursive: true, force: true }));

const object = (key: string, lastModified: string, bytes = 10) => ({ key, bytes, lastModified });

test('the newest day wins, also in a bucket that was copied in another order', () => {
  const dumps = dumpsOf(
    [
      object('2026/11/20/shop.dump', '2026-11-22T00:00:00Z'),
      object('2026/11/21/shop.dump', '2026-11-21T03:00:00Z'),
      object('2026/11/21/shop.dump.metadata', '2026-11-21T04:00:00Z'),
      object('2026/11/21/empty.dump', '2026-11-21T05:00:00Z', 0),
      object('2026/11/21/other.sql.gz', '2026-11-21T06:00:00Z'),
    ],
    '*.dump',
  );
  expect(dumps.map(({ id }) => id)).toEqual(['2026/11/21/shop.dump', '2026/11/20/shop.dump']);
});

test('a directory dump is one dump, and none without its toc.dat', () => {
  const dumps = dumpsOf(
    [
      object('2026/11/21/shop.dir/toc.dat', '2026-11-21T03:00:01Z'),
      object('2026/11/21/shop.dir/3001.dat.gz', '2026-11-21T03:00:00Z', 90),
    ],
    '*',
  );
  expect(dumps).toEqual([
    { id: '2026/11/21/shop.dir/', name: 'shop.dir', bytes: 100, createdAt: '2026-11-21T03:00:01Z' },
  ]);
});

test.each([
  ['daily/2026/11/21/shop.dump', '2026-11-21'],
  ['shop-20261121T0300.dump', '2026-11-21'],
  ['2025/01/01/shop-2026-11-21.dump', '2026-11-21'],
  ['shop-20269921.dump', ''],
  ['shop.dump', ''],
])('%s is of day "%s"', (key, day) => {
  expect(dayOf(key)).toBe(day);
});

test('a fetch that broke off goes on where it was', async () => {
  const root = path.join(dir, 'bucket');
  await mkdir(root);
  const content = Buffer.alloc(20 * 1024 * 1024, 7);
  content.writeUInt32LE(42, content.length - 4);
  await writeFile(path.join(root, 'shop.dump'), content);
  const objects = directoryObjects(root);
  let gets = 0;
  const store = {
    ...objects,
    get: (key: string, range?: { start: number; end: number }) => {
      gets += 1;
      if (gets === 3) return Promise.reject(new Error('the line was cut'));
      return objects.get(key, range);
    },
  };
  const source = createS3Source({ bucket: 'b', prefix: '', match: '*' }, store);
  const [dump] = await source.list();
  if (dump === undefined) throw new Error('no dump');
  const to = path.join(dir, 'fetched');
  await expect(source.fetch(dump, to, () => undefined)).rejects.toThrow('the line was cut');
  await expect(readFile(to)).rejects.toThrow(/ENOENT/);
  const seen: number[] = [];
  await source.fetch(dump, to, (done) => seen.push(done));
  expect((await readFile(to)).equals(content)).toBe(true);
  expect(seen.at(-1)).toBe(content.length);
});

test('what was begun of another object is not gone on with', async () => {
  const root = path.join(dir, 'bucket');
  await mkdir(root);
  await writeFile(path.join(root, 'shop.dump'), 'the new content');
  const to = path.join(dir, 'fetched');
  await writeFile(`${to}.part`, 'the old');
  await writeFile(`${to}.facts`, '["shop.dump",99,"2020-01-01T00:00:00.000Z"]');
  const source = createS3Source({ bucket: 'b', prefix: '', match: '*' }, directoryObjects(root));
  const [dump] = await source.list();
  if (dump === undefined) throw new Error('no dump');
  await source.fetch(dump, to, () => undefined);
  expect(await readFile(to, 'utf8')).toBe('the new content');
});

test('of a directory the newest file is taken, of a file the file', async () => {
  await writeFile(path.join(dir, 'a.dump'), 'a');
  await writeFile(path.join(dir, 'b.dump'), 'b');
  await writeFile(path.join(dir, 'c.dump.sha256'), 'c');
  await mkdir(path.join(dir, 'half.dir'));
  await utimes(path.join(dir, 'a.dump'), new Date(), new Date('2026-11-21T00:00:00Z'));
  await utimes(path.join(dir, 'b.dump'), new Date(), new Date('2026-11-20T00:00:00Z'));
  expect((await createFileSource(dir).list()).map(({ name }) => name)).toEqual(['a.dump', 'b.dump']);
  expect(await createFileSource(path.join(dir, 'b.dump')).list()).toHaveLength(1);
  await expect(createFileSource(path.join(dir, 'none')).list()).rejects.toMatchObject({ type: 'NotFound' });
});
