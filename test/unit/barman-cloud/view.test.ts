import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { listBases } from '../../../activities/backup-store/base-catalog.js';
import { readBase } from '../../../activities/backup-store/barman-cloud/catalog.js';
import { checkBarmanStore } from '../../../activities/backup-store/barman-cloud/check.js';
import { createBarmanView } from '../../../activities/backup-store/barman-cloud/view.js';
import { listWalFiles } from '../../../activities/backup-store/wal-archive.js';
import { directoryObjects, type DirectoryObjects } from '../../support/directory-objects.js';
import { BACKUP_INFO } from './info-text.js';

let root: string;
let objects: DirectoryObjects;

beforeEach(async () => {
  root = await mkdtemp(path.join(tmpdir(), 'pgr-barman-'));
  objects = directoryObjects(root);
});
afterEach(async () => {
  await rm(root, { recursive: true, force: true });
});

async function put(key: string, text = 'x'): Promise<void> {
  await objects.put(key, Buffer.from(text));
}

const DATA = { 'data.tar.gz': 'abc' };

async function base(id: string, files: Record<string, string> = DATA, info = BACKUP_INFO): Promise<void> {
  await put(`main/base/${id}/backup.info`, info);
  for (const [name, text] of Object.entries(files)) await put(`main/base/${id}/${name}`, text);
}

test('a base is a full one with the numbers of its backup.info and its objects', async () => {
  await base('20261121T171338', { 'data.tar.gz': 'abc', 'data_0001.tar.gz': 'de' });
  await put('main/base/20261121T171338/annotations/keep', 'full');
  const view = createBarmanView(objects, 'main');
  expect(await listBases(view.objects)).toMatchObject([
    {
      id: '20261121T171338',
      kind: 'full',
      systemIdentifier: '7710674020926131365',
      startLsn: '0/3000028',
      stopLsn: '0/3000120',
      sizes: { bytes: 5, restoredBytes: 24_632_417 },
    },
  ]);
  expect(view.notes()).toEqual([]);
  const { archives } = await readBase(objects, 'main', '20261121T171338');
  expect(archives.map(({ file }) => file)).toEqual(['data.tar.gz', 'data_0001.tar.gz']);
});

test('what died, failed or is running is never a base, and is said', async () => {
  await put('main/base/20261121T100000/data.tar.gz');
  await base(
    '20261121T110000',
    DATA,
    BACKUP_INFO.replace('status=DONE', 'status=FAILED').replace('error=None', 'error=disk full'),
  );
  await base('20261121T120000', {}, BACKUP_INFO.replace('status=DONE', 'status=STARTED'));
  const view = createBarmanView(objects, 'main');
  expect(await listBases(view.objects)).toEqual([]);
  expect(view.notes()).toEqual([
    'base 20261121T100000 is not used: it has no backup.info (a backup that died, or one that is running)',
    'base 20261121T110000 is not used: its status is FAILED: disk full',
    'base 20261121T120000 is not used: its status is STARTED',
  ]);
});

test.each([
  ['another compression', { 'data.tar.br': 'x' }, BACKUP_INFO, /data.tar.br is compressed with something/],
  ['no archive', {}, BACKUP_INFO, /data.tar is not in the bucket/],
  ['a missing second archive', { 'data.tar': 'x', 'data_0002.tar': 'x' }, BACKUP_INFO, /archive number 1/],
  [
    'tablespaces',
    DATA,
    BACKUP_INFO.replace('tablespaces=None', "tablespaces=[('fast', 16387, '/srv/fast')]"),
    /tablespaces of its own \(fast\)/,
  ],
  [
    'encryption by barman',
    DATA,
    BACKUP_INFO.replace('encryption=None', 'encryption=gpg'),
    /encrypted by barman \(gpg\)/,
  ],
  ['snapshots', {}, `${BACKUP_INFO}snapshots_info={}\n`, /snapshots of disks/],
])('a base with %s is listed with the reason and refused before anything is fetched', async (_, files, info, why) => {
  await base('20261121T171338', files, info);
  const [header] = await listBases(createBarmanView(objects, 'main').objects);
  expect(header?.unusable).toMatch(why);
  await expect(readBase(objects, 'main', '20261121T171338')).rejects.toMatchObject({
    type: 'PreconditionFailed',
    message: expect.stringMatching(why) as string,
  });
});

test('wal is found in its folders, histories beside them, in every compression that can be read', async () => {
  await put('main/wals/0000000100000000/000000010000000000000001.gz');
  await put('main/wals/0000000100000000/000000010000000000000002');
  await put('main/wals/0000000100000000/000000010000000000000003.00000028.backup.gz');
  await put('main/wals/0000000200000000/000000020000000000000003.zst');
  await put('main/wals/00000002.history.gz');
  await put('main/wals/0000000100000000/000000020000000000000009.gz');
  await put('main/wals/lost+found/x');
  const view = createBarmanView(objects, 'main');
  const files = await listWalFiles(view.objects, view.walPrefix);
  expect(files.map(({ name, compression }) => `${name} ${compression}`)).toEqual([
    '000000010000000000000001 gz',
    '000000010000000000000002 none',
    '000000010000000000000003.00000028.backup gz',
    '00000002.history gz',
    '000000020000000000000003 zst',
  ]);
  await view.objects.get(files[0]!.key);
  await view.objects.get(files[3]!.key);
  expect(objects.reads).toEqual([
    'main/wals/0000000100000000/000000010000000000000001.gz',
    'main/wals/00000002.history.gz',
  ]);
  const one = await view.objects.list(`${view.walPrefix}000000020000000000000003`);
  expect(one.map(({ key }) => key)).toEqual(['main/wals/000000020000000000000003.zst']);
});

test('wal in a compression that cannot be read counts as missing, and is said', async () => {
  await base('20261121T171338');
  await put('main/wals/0000000100000000/000000010000000000000001.gpg');
  await put('main/wals/0000000100000000/000000010000000000000002.br');
  await put('main/wals/0000000100000000/000000010000000000000002.gz');
  await put('main/wals/0000000100000000/000000010000000000000003.br');
  const view = createBarmanView(objects, 'main');
  expect((await listWalFiles(view.objects, view.walPrefix)).map(({ name }) => name)).toEqual([
    '000000010000000000000002',
  ]);
  expect(view.notes()).toEqual([
    '2 wal files (000000010000000000000001 to 000000010000000000000003) end with .gpg, .br, which pgr cannot read: they count as missing',
  ]);
  const config = {
    kind: 'barman-cloud' as const,
    server: 'main',
    bucket: 'b',
    prefix: '',
    region: 'r',
    forcePathStyle: true,
    accessKeyId: '',
    secretAccessKey: '',
  };
  expect(await checkBarmanStore(objects, config)).toMatchObject([
    { check: 'bases-usable', ok: true, actual: '1 of 1 bases' },
    {
      check: 'wal-readable',
      ok: false,
      actual: expect.stringMatching(/^1 segments, newest 000000010000000000000002; 2 wal files/) as string,
    },
  ]);
});

test('the view never writes', async () => {
  const { objects: seen } = createBarmanView(objects, 'main');
  await expect(seen.put('abandoned/00000002.json', Buffer.alloc(1))).rejects.toMatchObject({ type: 'NotAllowed' });
});
