/**
 * Scenario: bases are taken of a real server while it works, stored in a real S3 server, and brought back.
 * Verified: 1 what comes back passes pg_verifybackup, with modes and empty directories; 2 it starts, replays and shows the rows;
 * 3 a chain of a full and two incremental bases is combined and starts; 4 memory stays bounded; 5 nothing is there half.
 */
import { execFile } from 'node:child_process';
import { lstat, mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import { DeleteObjectCommand } from '@aws-sdk/client-s3';

import { createS3Client } from '../../../activities/backup-store/s3-client.js';
import { createS3Store } from '../../../activities/backup-store/s3-store.js';
import { watchArchive } from '../../../activities/backup-store/take-base-archive-watch.js';
import { readArchiver } from '../../../activities/backup-store/take-base-facts.js';
import { createObjectStore, type ObjectStore } from '../../../activities/backup-store/s3-objects.js';
import { listBases, type BaseHeader } from '../../../activities/backup-store/base-catalog.js';
import { listWalFiles, readWalFile } from '../../../activities/backup-store/wal-archive.js';
import type { FetchSpec } from '../../../activities/lib/backup-store.js';
import { environmentOf } from '../../../activities/lib/environment-config.js';
import { loadConfig } from '../../../config/load.js';
import { parseLsn } from '../../../shared/lsn.js';
import { segmentName, segmentNumberOf } from '../../../shared/timeline.js';
import { destroyAllClusters, serverDirectory, startCluster, type Cluster } from '../../support/cluster.js';
import { destroyAllS3, startS3, type TestS3 } from '../../support/s3.js';
import { buildPrograms, createSite, fetchSpec, type Programs, type Site } from './programs.js';
import { freePort } from '../../support/ports.js';

const run = promisify(execFile);
const SEGMENT = 16 * 1024 * 1024;

let s3: TestS3;
let programs: Programs;
let site: Site;
let source: Cluster;
let objects: ObjectStore;
const scratch: string[] = [];

beforeAll(async () => {
  [s3, programs] = await Promise.all([startS3(), buildPrograms()]);
  site = await createSite(programs, s3);
  objects = createObjectStore(s3.location, s3);
  source = await startCluster({
    conf: [
      'archive_mode = on',
      `archive_command = '${archiveCommand()}'`,
      'autovacuum = off',
      'checkpoint_timeout = 1h',
    ],
  });
  await source.query(
    'create table filler as select g as id, repeat(md5(g::text), 20) as text from generate_series(1, 60000) g',
  );
  await source.query('create table counted (id int primary key)');
  await source.query('create unlogged table fleeting as select 1 as one');
}, 120_000);

afterAll(async () => {
  await destroyAllClusters();
  await destroyAllS3();
  await site.remove();
  await programs.remove();
  await Promise.all(scratch.map((dir) => rm(dir, { recursive: true, force: true, maxRetries: 3 })));
});

/** The real thing, started by the server itself. */
function archiveCommand(): string {
  const env = `PGR_TEST_S3_KEY=${s3.accessKeyId} PGR_TEST_S3_SECRET=${s3.secretAccessKey}`;
  return `${env} ${process.execPath} ${programs.file('wal-push')} --config ${site.configPath} --environment site %p`;
}

async function sandboxDir(): Promise<string> {
  const dir = await serverDirectory('pgr-sandbox-');
  scratch.push(dir);
  return dir;
}

async function archived(lsn: string): Promise<string> {
  const parsed = parseLsn(lsn);
  if (parsed === null) throw new Error(lsn);
  const name = segmentName(1, segmentNumberOf(parsed, SEGMENT), SEGMENT);
  const deadline = Date.now() + 60_000;
  while (!(await listWalFiles(objects, 'wal/')).some((file) => file.name === name)) {
    if (Date.now() > deadline) throw new Error(`${name} was not archived: ${await readFile(source.logFile, 'utf8')}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  return name;
}

async function switchAndArchive(): Promise<string> {
  const [row] = await source.query<{ lsn: string }>('select (pg_switch_wal() - 1)::text as lsn');
  return archived(row?.lsn ?? '');
}

async function headerOf(id: string): Promise<BaseHeader> {
  const found = (await listBases(objects)).find((base) => base.id === id);
  if (found === undefined) throw new Error(`no base ${id}`);
  return found;
}

function specFor(sandbox: string, bases: BaseHeader[], last: string): FetchSpec {
  const first = bases[bases.length - 1]!;
  return fetchSpec(
    sandbox,
    bases.map(({ id }) => id),
    { first: segmentName(1, segmentNumberOf(first.startLsn, SEGMENT), SEGMENT), last },
    process.getuid?.() === 0 ? source.owner : null,
  );
}

/** Starts the restored data directory, replays the spool and counts. */
async function countAfterReplay(dataDir: string, spool: string): Promise<number> {
  const port = await freePort();
  const owner = process.getuid?.() === 0 ? { uid: source.owner.uid, gid: source.owner.gid } : {};
  await writeFile(path.join(dataDir, 'recovery.signal'), '');
  const settings = [
    `port=${String(port)}`,
    `restore_command=cp ${spool}/%f %p`,
    'archive_mode=off',
    'recovery_target_action=promote',
    'listen_addresses=127.0.0.1',
    'unix_socket_directories=',
    'logging_collector=off',
  ].flatMap((setting) => ['-c', setting]);
  const server = run(path.join(source.binDir, 'postgres'), ['-D', dataDir, ...settings], { ...owner, cwd: '/' });
  const ended = server.then(
    () => 'ended',
    (error: unknown) => (error as { stderr?: string }).stderr ?? 'did not start',
  );
  try {
    const deadline = Date.now() + 60_000;
    for (;;) {
      try {
        const { stdout } = await run(path.join(source.binDir, 'psql'), [
          ...['-h', '127.0.0.1', '-p', String(port), '-U', 'postgres', '-Atc'],
          'select case when pg_is_in_recovery() then -1 else (select count(*) from counted) end',
        ]);
        if (Number(stdout) >= 0) return Number(stdout);
      } catch (error) {
        const dead = await Promise.race([ended, Promise.resolve(null)]);
        if (dead !== null || Date.now() > deadline) throw new Error(`no server: ${String(dead)}`, { cause: error });
      }
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  } finally {
    server.child.kill('SIGINT');
    await ended;
  }
}

test('a base comes back as it was, starts, and replays what was archived after it', async () => {
  const taken = await site.takeBase(source, 'full-1');
  expect(taken).toMatchObject({ code: 0, result: { id: 'full-1', kind: 'full', timeline: 1 } });
  await source.query('insert into counted select generate_series(1, 1000)');
  const last = await switchAndArchive();
  const header = await headerOf('full-1');
  expect(header).toMatchObject({
    systemIdentifier: (
      await source.query<{ id: string }>('select system_identifier::text as id from pg_control_system()')
    )[0]?.id,
    settings: { maxConnections: 100 },
    parentId: null,
  });

  const sandbox = await sandboxDir();
  const spec = specFor(sandbox, [header], last);
  const running = await site.start('mover', spec);
  const moved = await running.ended;
  expect(moved.stderr).toBe('');
  expect(moved).toMatchObject({ code: 0, result: { baseBytes: header.sizes.bytes, files: header.sizes.files } });
  expect(JSON.parse(await readFile(path.join(running.jobDir, 'base-done'), 'utf8'))).toMatchObject({
    files: header.sizes.files,
    chunksVerified: header.sizes.chunks,
  });
  expect(JSON.parse(await readFile(path.join(running.jobDir, 'progress'), 'utf8'))).toMatchObject({ unit: 'bytes' });

  const dataDir = spec.baseDirs[0]!;
  await run(path.join(source.binDir, 'pg_verifybackup'), ['--no-parse-wal', dataDir]);
  expect((await stat(dataDir)).mode & 0o7777).toBe(0o700);
  for (const empty of [
    'pg_wal',
    'pg_wal/archive_status',
    'pg_wal/summaries',
    'pg_replslot',
    'pg_tblspc',
    'pg_stat_tmp',
  ]) {
    expect((await lstat(path.join(dataDir, empty))).isDirectory()).toBe(true);
  }
  const owner = await stat(path.join(dataDir, 'global', 'pg_control'));
  expect({ mode: owner.mode & 0o7777, uid: owner.uid }).toEqual({ mode: 0o600, uid: source.owner.uid });
  expect((await readdir(spec.wal.dir)).filter((name) => name.endsWith('.tmp'))).toEqual([]);
  expect(await countAfterReplay(dataDir, spec.wal.dir)).toBe(1000);
}, 120_000);

test('a chain of a full and two incremental bases is brought at once, combined, and starts', async () => {
  await source.query('insert into counted select generate_series(1001, 1500)');
  expect(await site.takeBase(source, 'inc-1', 'incremental')).toMatchObject({ code: 0 });
  await source.query('insert into counted select generate_series(1501, 1700)');
  expect(await site.takeBase(source, 'inc-2', 'incremental')).toMatchObject({ code: 0 });
  await source.query('insert into counted select generate_series(1701, 1800)');
  const last = await switchAndArchive();
  const chain = await Promise.all(['full-1', 'inc-1', 'inc-2'].map(headerOf));
  expect(chain.map(({ parentId }) => parentId)).toEqual([null, 'full-1', 'inc-1']);
  expect(chain[1]!.sizes.restoredBytes).toBeLessThan(chain[0]!.sizes.restoredBytes / 3);

  const sandbox = await sandboxDir();
  const spec = specFor(sandbox, chain, last);
  expect(await (await site.start('mover', spec)).ended).toMatchObject({ code: 0, stderr: '' });
  const combined = path.join(sandbox, 'data');
  const owner = process.getuid?.() === 0 ? { uid: source.owner.uid, gid: source.owner.gid } : {};
  await run(path.join(source.binDir, 'pg_combinebackup'), [...spec.baseDirs, '-o', combined, '--no-sync'], {
    ...owner,
    cwd: '/',
  });
  await run(path.join(source.binDir, 'pg_verifybackup'), ['--no-parse-wal', combined]);
  expect(await countAfterReplay(combined, spec.wal.dir)).toBe(1800);
}, 180_000);

test('the same id taken again is the base that is there; nothing is read or written', async () => {
  const before = await headerOf('full-1');
  const again = await site.takeBase(source, 'full-1');
  expect(again).toMatchObject({ code: 0, result: { id: 'full-1', startLsn: before.startLsn } });
  expect(await headerOf('full-1')).toEqual(before);
});

test('a base that died before its header is not listed, and is taken anew under its id', async () => {
  const connection = { host: '127.0.0.1', port: source.port, user: 'postgres', password: null };
  const spec = { id: 'died', kind: 'full', binDir: source.binDir, connection };
  const fault = { PGR_FAULT: 'take-base-without-header', PGR_FAULT_FLAG: path.join(site.dir, 'fault-1') };
  expect(await (await site.start('take-base', spec, { env: fault })).ended).toMatchObject({ signal: 'SIGKILL' });
  expect((await objects.list('bases/died/')).length).toBeGreaterThan(0);
  expect((await listBases(objects)).map(({ id }) => id)).not.toContain('died');
  expect(await (await site.start('take-base', spec, { env: fault })).ended).toMatchObject({ code: 0 });
  expect((await listBases(objects)).map(({ id }) => id)).toContain('died');
}, 60_000);

test('a chunk that was changed in the store is named with its files, and nothing is promoted as restored', async () => {
  const header = await headerOf('full-1');
  const key = `bases/full-1/${header.tar}`;
  const good = await objects.get(key);
  const damaged = Buffer.from(good);
  damaged[Math.floor(damaged.length / 2)]! ^= 0xff;
  await objects.put(key, damaged);
  try {
    const sandbox = await sandboxDir();
    const running = await site.start('mover', specFor(sandbox, [header], await switchAndArchive()));
    const ended = await running.ended;
    expect(ended).toMatchObject({ code: 1, result: { failure: { type: 'BackupCorrupt' } } });
    const { message } = (ended.result as { failure: { message: string } }).failure;
    expect(message).toMatch(/base full-1 is damaged: chunk \d+ has sha-256 .*files in it: base\//);
    expect(await readdir(running.jobDir)).not.toContain('base-done');
  } finally {
    await objects.put(key, good);
  }
}, 60_000);

test('a segment that is missing is named before anything is fetched', async () => {
  const header = await headerOf('full-1');
  const sandbox = await sandboxDir();
  const ended = await (await site.start('mover', specFor(sandbox, [header], '0000000100000000000000F0'))).ended;
  expect(ended).toMatchObject({ code: 1, result: { failure: { type: 'TargetInHole' } } });
  expect(ended.stderr).toMatch(/archive does not have wal segment 0000000100000000000000/);
});

test('a directory with files of somebody else is refused and left as it is', async () => {
  const sandbox = await sandboxDir();
  await mkdir(path.join(sandbox, 'base-0'));
  await writeFile(path.join(sandbox, 'base-0', 'precious.txt'), 'mine');
  const header = await headerOf('full-1');
  const ended = await (await site.start('mover', specFor(sandbox, [header], await switchAndArchive()))).ended;
  expect(ended).toMatchObject({ code: 1, result: { failure: { type: 'SandboxNotOurs' } } });
  expect(await readdir(path.join(sandbox, 'base-0'))).toEqual(['precious.txt']);
});

test('a server with tablespaces is refused before anything is read', async () => {
  const dir = await serverDirectory('pgr-space-');
  scratch.push(dir);
  await source.query(`create tablespace elsewhere location '${dir}'`);
  try {
    const ended = await site.takeBase(source, 'with-space');
    expect(ended).toMatchObject({ code: 1, result: { failure: { type: 'PreconditionFailed' } } });
    expect(ended.stderr).toContain('tablespaces of its own: elsewhere');
    expect(await objects.list('bases/with-space/')).toEqual([]);
  } finally {
    await source.query('drop tablespace elsewhere');
  }
});

test('an incremental base over a base of another server is refused with the way out', async () => {
  const other = await startCluster();
  try {
    const ended = await site.takeBase(other, 'wrong-parent', 'incremental');
    expect(ended).toMatchObject({
      code: 1,
      result: { failure: { type: 'PreconditionFailed', hint: 'take a full base first' } },
    });
  } finally {
    await other.destroy();
  }
}, 60_000);

test('a damaged segment is named, its good neighbours and the base are there', async () => {
  const header = await headerOf('full-1');
  const last = await switchAndArchive();
  const key = `wal/${last}.lz4`;
  const good = await objects.get(key);
  await objects.put(key, good.subarray(0, good.length - 20));
  try {
    const sandbox = await sandboxDir();
    const spec = specFor(sandbox, [header], last);
    const running = await site.start('mover', spec);
    const ended = await running.ended;
    expect(ended).toMatchObject({ code: 1, result: { failure: { type: 'WalCorrupt' } } });
    expect(ended.stderr).toContain(`wal object ${key}`);
    expect(await readdir(spec.wal.dir)).not.toContain(last);
    await objects.put(key, good);
    expect(await (await site.start('mover', spec, { jobDir: running.jobDir })).ended).toMatchObject({ code: 0 });
    expect(await readdir(spec.wal.dir)).toContain(last);
  } finally {
    await objects.put(key, good);
  }
}, 60_000);

test('segments that other programs archived, plain and gzipped, go into the spool as they were', async () => {
  const header = await headerOf('full-1');
  const last = await switchAndArchive();
  const files = (await listWalFiles(objects, 'wal/'))
    .filter(({ name }) => name.length === 24 && name <= last)
    .slice(-2);
  const client = createS3Client(s3.location, s3);
  const contents = await Promise.all(files.map((file) => readWalFile(objects, file)));
  try {
    for (const [at, file] of files.entries()) {
      const content = contents[at]!;
      await client.send(new DeleteObjectCommand({ Bucket: s3.bucket, Key: file.key }));
      if (at === 0) await objects.put(`wal/${file.name}`, content);
      else await objects.put(`wal/${file.name}.gz`, gzipSync(content));
    }
    const spec = specFor(await sandboxDir(), [header], last);
    expect(await (await site.start('mover', spec)).ended).toMatchObject({ code: 0, stderr: '' });
    for (const [at, { name }] of files.entries()) {
      expect((await readFile(path.join(spec.wal.dir, name))).equals(contents[at]!)).toBe(true);
    }
  } finally {
    client.destroy();
  }
}, 60_000);

test('an archive that fails ends the base with its name instead of waiting for ever', async () => {
  const other = await startCluster({ conf: ['archive_mode = on', 'archive_command = false'] });
  try {
    await other.query('select pg_switch_wal()');
    const connection = { host: '127.0.0.1', port: other.port, user: 'postgres', password: null };
    const failure = await new Promise<{ type?: string; message: string }>((resolve) => {
      watchArchive({
        idleMs: () => 1_000,
        patienceMs: 500,
        everyMs: 100,
        readArchiver: () => readArchiver(connection),
        giveUp: resolve,
      });
    });
    expect(failure).toMatchObject({ type: 'ArchiveFailing' });
    expect(failure.message).toContain('000000010000000000000001');
  } finally {
    await other.destroy();
  }
}, 60_000);

test('a base of PostgreSQL 17 comes back as it was', async () => {
  const binDir = process.env['PGR_TEST_POSTGRES17_BIN'];
  if (binDir === undefined) throw new Error('PostgreSQL 17 is missing: this test belongs to test/pg');
  const seventeen = await startCluster({ binDir });
  const elsewhere = await createSite(programs, s3, { prefix: 'seventeen/', compression: 'gzip' });
  try {
    expect(await elsewhere.takeBase(seventeen, 'full')).toMatchObject({ code: 0 });
    expect(await elsewhere.takeBase(seventeen, 'inc', 'incremental')).toMatchObject({ code: 0 });
    const store = createObjectStore({ ...s3.location, prefix: 'seventeen/' }, s3);
    const [full, incremental] = await listBases(store);
    expect(full).toMatchObject({ postgresMajor: 17, compression: 'gz', kind: 'full' });
    expect(incremental).toMatchObject({ kind: 'incremental', parentId: 'full' });
    const spec = specFor(await sandboxDir(), [full!, incremental!], '000000010000000000000000');
    expect(await (await elsewhere.start('mover', spec)).ended).toMatchObject({ code: 0, stderr: '' });
    await run(path.join(binDir, 'pg_verifybackup'), ['--no-parse-wal', spec.baseDirs[0]!]);
    const wrong = { id: 'x', kind: 'full', binDir: source.binDir };
    const connection = { host: '127.0.0.1', port: seventeen.port, user: 'postgres', password: null };
    const mixed = await (await elsewhere.start('take-base', { ...wrong, connection })).ended;
    expect(mixed).toMatchObject({ code: 1, result: { failure: { type: 'MajorMismatch' } } });
  } finally {
    await seventeen.destroy();
    await elsewhere.remove();
  }
}, 60_000);

test('the store tells found from missing, marks an abandoned timeline once, and says where its programs are', async () => {
  const { backups } = environmentOf(await loadConfig(site.configPath), 'site');
  if (backups.kind !== 's3') throw new Error('another store than the test made');
  const secrets: Record<string, string> = {
    [s3.location.accessKeyId]: s3.accessKeyId,
    [s3.location.secretAccessKey]: s3.secretAccessKey,
  };
  const store = await createS3Store({
    config: backups,
    environment: 'site',
    resolveSecret: (reference) => Promise.resolve(secrets[reference] ?? ''),
    program: { node: process.execPath, distDir: programs.dir, configPath: site.configPath },
  });
  const last = await switchAndArchive();
  expect(await store.walPresence(last)).toBe('found');
  expect(await store.walPresence(last.slice(0, 23))).toBe('missing');
  expect(await store.walPresence('0000000100000000000000F7')).toBe('missing');
  expect(await store.abandonTimeline(26, 'site/change')).toBe('marked');
  expect(await store.abandonTimeline(26, 'site/change')).toBe('already-marked');
  expect((await objects.get('abandoned/0000001A.json')).toString()).toContain('site/change');
  const spec = '/tmp/spec.json';
  expect(store.fetchCommand(spec)).toEqual(
    [programs.file('mover'), '--config', site.configPath].concat(['--environment', 'site', spec]),
  );
  expect((await store.check()).map(({ ok }) => ok)).toEqual([true, true]);
}, 60_000);
