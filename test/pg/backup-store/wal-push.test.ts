/**
 * Scenario: the archive_command, run as the server runs it, against a real S3 server.
 * Verified: 1 zero only when the store has the file; 2 run again, run at once, killed: never two contents under one name; 3 what other
 * programs archived is read and compared.
 */
import { spawn } from 'node:child_process';
import { copyFile, mkdtemp, rm, unlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { createObjectStore, type ObjectStore } from '../../../activities/backup-store/s3-objects.js';
import { listWalFiles, readWalFile } from '../../../activities/backup-store/wal-archive.js';
import { walPushCommand } from '../../../activities/backup-store/wal-push-command.js';
import { SEGMENT_BYTES, segmentOf } from '../../support/wal-segment.js';
import { destroyAllS3, startS3, type TestS3 } from '../../support/s3.js';
import { buildPrograms, createSite, type Programs, type Site } from './programs.js';

let s3: TestS3;
let programs: Programs;
let site: Site;
let objects: ObjectStore;
let dir: string;
let last = 0x10;

beforeAll(async () => {
  [s3, programs] = await Promise.all([startS3(), buildPrograms()]);
  site = await createSite(programs, s3);
  objects = createObjectStore(s3.location, s3);
  dir = await mkdtemp(path.join(tmpdir(), 'pgr-wal-'));
}, 90_000);
afterAll(async () => {
  await destroyAllS3();
  await site.remove();
  await programs.remove();
  await rm(dir, { recursive: true, force: true });
});

/** A new segment file with content that depends on `seed`. */
async function segmentFile(name: string, seed = 1): Promise<{ file: string; content: Buffer }> {
  const content = segmentOf(name, seed);
  const file = path.join(dir, name);
  await writeFile(file, content);
  return { file, content };
}

function newName(): string {
  last += 1;
  return `0000000100000000${last.toString(16).toUpperCase().padStart(8, '0')}`;
}

async function archivedContent(name: string): Promise<Buffer | null> {
  const file = (await listWalFiles(objects, 'wal/')).find((one) => one.name === name);
  return file === undefined ? null : readWalFile(objects, file);
}

test('a segment is archived once; the same file again is success, another content is refused', async () => {
  const name = newName();
  const { file, content } = await segmentFile(name);
  expect(await site.push(file)).toMatchObject({ code: 0, stderr: '' });
  expect((await archivedContent(name))?.equals(content)).toBe(true);
  expect(await site.push(file)).toMatchObject({ code: 0, stderr: '' });
  await segmentFile(name, 2);
  const refused = await site.push(file);
  expect(refused.code).toBe(1);
  expect(refused.stderr).toContain(`the archive has another ${name}`);
  expect((await archivedContent(name))?.equals(content)).toBe(true);
});

test('a segment that is there in another compression counts, and no second object is made', async () => {
  const name = newName();
  const { file, content } = await segmentFile(name);
  const gzipped = await createSite(programs, s3, { compression: 'gzip' });
  const plain = await createSite(programs, s3, { compression: 'none' });
  try {
    expect(await gzipped.push(file)).toMatchObject({ code: 0 });
    expect(await site.push(file)).toMatchObject({ code: 0 });
    expect(await plain.push(file)).toMatchObject({ code: 0 });
    expect((await objects.list(`wal/${name}`)).map(({ key }) => key)).toEqual([`wal/${name}.gz`]);
    expect((await archivedContent(name))?.equals(content)).toBe(true);
  } finally {
    await gzipped.remove();
    await plain.remove();
  }
});

test('history, backup and partial files are archived under their names', async () => {
  const history = path.join(dir, '00000002.history');
  await writeFile(history, '1\t0/5000000\tno recovery target specified\n');
  expect(await site.push(history)).toMatchObject({ code: 0 });
  const label = path.join(dir, '000000010000000000000002.00000028.backup');
  await writeFile(label, 'START WAL LOCATION: 0/2000028\n');
  expect(await site.push(label)).toMatchObject({ code: 0 });
  const name = newName();
  const { file, content } = await segmentFile(name);
  const partial = `${file}.partial`;
  await writeFile(partial, content);
  expect(await site.push(partial)).toMatchObject({ code: 0 });
  const names = (await listWalFiles(objects, 'wal/')).map((one) => one.name);
  expect(names).toEqual(expect.arrayContaining(['00000002.history', path.basename(label), `${name}.partial`]));
  expect((await objects.get('wal/00000002.history')).toString()).toContain('0/5000000');
});

test('the same segment pushed four times at once is archived once and all succeed', async () => {
  const name = newName();
  const { file, content } = await segmentFile(name);
  const ended = await Promise.all([1, 2, 3, 4].map(() => site.push(file)));
  expect(ended.map(({ code }) => code)).toEqual([0, 0, 0, 0]);
  expect(await objects.list(`wal/${name}`)).toHaveLength(1);
  expect((await archivedContent(name))?.equals(content)).toBe(true);
}, 30_000);

test('two different contents pushed at once: one wins, the other is told', async () => {
  const name = newName();
  const { file: one } = await segmentFile(name, 1);
  const other = path.join(await mkdtemp(path.join(dir, 'other-')), name);
  await writeFile(other, segmentOf(name, 2));
  const codes = (await Promise.all([site.push(one), site.push(other)])).map(({ code }) => code);
  expect(codes.sort()).toEqual([0, 1]);
  expect(await objects.list(`wal/${name}`)).toHaveLength(1);
});

test('killed at any moment, the next push succeeds and the archive holds the whole segment', async () => {
  const env = { PGR_TEST_S3_KEY: s3.accessKeyId, PGR_TEST_S3_SECRET: s3.secretAccessKey };
  for (const afterMs of [60, 110, 160, 210, 260]) {
    const name = newName();
    const { file, content } = await segmentFile(name);
    const args = [programs.file('wal-push'), '--config', site.configPath, '--environment', 'site', file];
    const child = spawn(process.execPath, args, { env: { ...process.env, ...env }, stdio: 'ignore' });
    setTimeout(() => child.kill('SIGKILL'), afterMs);
    await new Promise((resolve) => child.once('exit', resolve));
    const between = await archivedContent(name);
    expect(between === null || between.equals(content)).toBe(true);
    expect(await site.push(file)).toMatchObject({ code: 0 });
    expect((await archivedContent(name))?.equals(content)).toBe(true);
    await unlink(file);
  }
}, 60_000);

test('a file that is not what its name says is not archived', async () => {
  const name = newName();
  const { file } = await segmentFile(name);
  const wrong = path.join(dir, newName());
  await writeFile(wrong, segmentOf(name, 1));
  expect(await site.push(wrong)).toMatchObject({ code: 1 });
  await writeFile(file, segmentOf(name, 1).subarray(0, SEGMENT_BYTES - 8192));
  const short = await site.push(file);
  expect(short.code).toBe(1);
  expect(short.stderr).toContain('not archived');
  expect(await objects.list(`wal/${path.basename(wrong)}`)).toEqual([]);
  expect(await objects.list(`wal/${name}`)).toEqual([]);
});

test('copied away without the library of lz4 it archives with gzip', async () => {
  const alone = path.join(dir, 'wal-push.cjs');
  await copyFile(programs.file('wal-push'), alone);
  const { file, content } = await segmentFile(newName());
  const name = path.basename(file);
  const lonely = await createSite({ ...programs, file: () => alone }, s3);
  try {
    expect(await lonely.push(file)).toMatchObject({ code: 0, stderr: '' });
    expect((await objects.list(`wal/${name}`)).map(({ key }) => key)).toEqual([`wal/${name}.gz`]);
    expect((await archivedContent(name))?.equals(content)).toBe(true);
    // What it cannot read is not called different.
    const { file: packed } = await segmentFile(newName());
    expect(await site.push(packed)).toMatchObject({ code: 0 });
    const unread = await lonely.push(packed);
    expect(unread.code).toBe(1);
    expect(unread.stderr).toContain('the library to read it is not');
  } finally {
    await lonely.remove();
  }
});

test('wrong credentials, a missing secret and a store that is gone are failures, never success', async () => {
  const { file } = await segmentFile(newName());
  expect(await site.push(file, { PGR_TEST_S3_SECRET: 'wrong-secret-value' })).toMatchObject({ code: 1 });
  const missing = await site.push(file, { PGR_TEST_S3_SECRET: '' });
  expect(missing.code).toBe(1);
  expect(missing.stderr).toContain('PGR_TEST_S3_SECRET');
  await s3.stop();
  try {
    const gone = await site.push(file);
    expect(gone.code).toBe(1);
    expect(gone.stderr).toContain(s3.endpoint);
  } finally {
    await s3.start();
  }
  expect(await site.push(file)).toMatchObject({ code: 0 });
}, 90_000);

test('the archive_command of a config is one line that a shell and the server understand', () => {
  const command = {
    node: '/usr/bin/node',
    program: '/opt/pgr/dist/wal-push.cjs',
    configPath: '/etc/pgr/recovery.yaml',
  };
  expect(walPushCommand({ ...command, environment: 'production' })).toBe(
    '/usr/bin/node /opt/pgr/dist/wal-push.cjs --config /etc/pgr/recovery.yaml --environment production "%p"',
  );
  expect(walPushCommand({ ...command, configPath: "/srv/100% ana's/r.yaml", environment: 'lab' })).toContain(
    `'/srv/100%% ana'\\''s/r.yaml'`,
  );
});
