/**
 * Scenario: a restore of some 150 MB that does not compress is disturbed: killed, cut off, its store gone for a while.
 * Verified: 1 it goes on where it was, counted in bytes that the server sent; 2 the end state is the same; 3 memory stays bounded.
 */
import { execFile, type ChildProcess } from 'node:child_process';
import { readFile, rm, unlink } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';

import { createObjectStore, type ObjectStore } from '../../../activities/backup-store/s3-objects.js';
import { listBases, type BaseHeader } from '../../../activities/backup-store/base-catalog.js';
import { listWalFiles, type WalFile } from '../../../activities/backup-store/wal-archive.js';
import type { FetchSpec } from '../../../activities/lib/backup-store.js';
import { segmentName, segmentNumberOf } from '../../../shared/timeline.js';
import { destroyAllClusters, serverDirectory, startCluster, type Cluster } from '../../support/cluster.js';
import { destroyAllS3, startS3, type TestS3 } from '../../support/s3.js';
import { buildPrograms, createSite, fetchSpec, type Programs, type Running, type Site } from './programs.js';

const run = promisify(execFile);
const MIB = 1024 * 1024;
const SEGMENT = 16 * MIB;

let s3: TestS3;
let programs: Programs;
let site: Site;
let source: Cluster;
let objects: ObjectStore;
let header: BaseHeader;
let walFiles: WalFile[];
const scratch: string[] = [];
const children: ChildProcess[] = [];

beforeAll(async () => {
  [s3, programs] = await Promise.all([startS3(), buildPrograms()]);
  site = await createSite(programs, s3);
  objects = createObjectStore(s3.location, s3);
  const env = `PGR_TEST_S3_KEY=${s3.accessKeyId} PGR_TEST_S3_SECRET=${s3.secretAccessKey}`;
  const push = `${process.execPath} ${programs.file('wal-push')} --config ${site.configPath} --environment site %p`;
  source = await startCluster({
    conf: ['archive_mode = on', `archive_command = '${env} ${push}'`, 'autovacuum = off'],
  });
  await source.query(`create table noise as select g as id, string_agg(md5(random()::text), '') as text
    from generate_series(1, 90000) g, generate_series(1, 50) h group by g`);
  expect(await site.takeBase(source, 'noise')).toMatchObject({ code: 0 });
  header = (await listBases(objects))[0]!;
  await source.query('update noise set text = text where id < 10000');
  await source.query('select pg_switch_wal()');
  // The base waits for its own WAL; what came after it is waited for here.
  const wanted = await source.query<{ name: string }>('select pg_walfile_name(pg_current_wal_lsn() - 1) as name');
  const deadline = Date.now() + 60_000;
  do walFiles = await listWalFiles(objects, 'wal/');
  while (!walFiles.some(({ name }) => name >= previous(wanted[0]!.name)) && Date.now() < deadline);
}, 180_000);

afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
});
afterAll(async () => {
  await destroyAllClusters();
  await destroyAllS3();
  await site.remove();
  await programs.remove();
  await Promise.all(scratch.map((dir) => rm(dir, { recursive: true, force: true, maxRetries: 3 })));
}, 60_000);

function previous(name: string): string {
  return `${name.slice(0, 16)}${(Number.parseInt(name.slice(16), 16) - 1).toString(16).toUpperCase().padStart(8, '0')}`;
}

async function newSpec(): Promise<FetchSpec> {
  const sandbox = await serverDirectory('pgr-sandbox-');
  scratch.push(sandbox);
  const first = segmentName(1, segmentNumberOf(header.startLsn, SEGMENT), SEGMENT);
  const last = walFiles.filter(({ name }) => /^[0-9A-F]{24}$/.test(name)).at(-1)!.name;
  return fetchSpec(sandbox, [header.id], { first, last }, process.getuid?.() === 0 ? source.owner : null);
}

async function start(spec: FetchSpec): Promise<Running> {
  const running = await site.start('mover', spec);
  children.push(running.child);
  return running;
}

async function progressOf({ jobDir, child }: Running): Promise<number> {
  const text = await readFile(path.join(jobDir, 'progress'), 'utf8').catch(() => '{"done":0}');
  if (child.exitCode !== null) throw new Error('the mover ended before it could be disturbed');
  return (JSON.parse(text) as { done: number }).done;
}

async function untilDone(running: Running, bytes: number): Promise<void> {
  const deadline = Date.now() + 30_000;
  while ((await progressOf(running)) < bytes) if (Date.now() > deadline) throw new Error('no progress');
}

function storedBytes(spec: FetchSpec): number {
  const { firstSegment, lastSegment } = spec.wal;
  const wal = walFiles.filter(({ name }) => name >= firstSegment && name <= lastSegment && name.length === 24);
  return header.sizes.bytes + wal.reduce((sum, { bytes }) => sum + bytes, 0);
}

async function proveRestored(spec: FetchSpec): Promise<void> {
  await run(path.join(source.binDir, 'pg_verifybackup'), ['--no-parse-wal', spec.baseDirs[0]!]);
  for (const { name, bytes } of walFiles.filter(
    (file) => file.name >= spec.wal.firstSegment && file.name.length === 24,
  )) {
    expect(bytes).toBeGreaterThan(0);
    expect((await readFile(path.join(spec.wal.dir, name))).length).toBe(SEGMENT);
  }
}

test('an undisturbed restore asks for every byte once and stays small in memory', async () => {
  expect(header.sizes.bytes).toBeGreaterThan(100 * MIB);
  const spec = await newSpec();
  const before = s3.bytesServed();
  const ended = await (await start(spec)).ended;
  expect(ended).toMatchObject({ code: 0, stderr: '' });
  expect(s3.bytesServed() - before).toBeLessThan(storedBytes(spec) * 1.02 + MIB);
  expect(ended.peakKiB / 1024).toBeLessThan(250);
  await proveRestored(spec);
}, 60_000);

test('killed in the middle, it goes on without fetching a finished chunk again', async () => {
  const spec = await newSpec();
  const before = s3.bytesServed();
  const first = await start(spec);
  await untilDone(first, header.sizes.bytes * 0.4);
  first.child.kill('SIGKILL');
  expect(await first.ended).toMatchObject({ signal: 'SIGKILL' });
  const second = await (await start(spec)).ended;
  expect(second).toMatchObject({ code: 0, stderr: '' });
  const { fetchedBytes } = second.result as { fetchedBytes: number };
  expect(fetchedBytes).toBeLessThan(storedBytes(spec) - header.sizes.bytes * 0.4);
  // Only what was on the wire when it died is sent twice: at most ten requests of four megabytes.
  expect(s3.bytesServed() - before).toBeLessThan(storedBytes(spec) * 1.02 + 44 * MIB);
  await proveRestored(spec);
}, 60_000);

test('run again after its end it fetches nothing, also when the base was moved on', async () => {
  const spec = await newSpec();
  expect(await (await start(spec)).ended).toMatchObject({ code: 0 });
  await rm(spec.baseDirs[0]!, { recursive: true });
  const again = await (await start(spec)).ended;
  expect(again).toMatchObject({ code: 0, result: { fetchedBytes: 0 } });
}, 60_000);

test('a segment that was deleted from the spool is fetched again, and nothing else', async () => {
  const spec = await newSpec();
  expect(await (await start(spec)).ended).toMatchObject({ code: 0 });
  await unlink(path.join(spec.wal.dir, spec.wal.lastSegment));
  const again = await (await start(spec)).ended;
  const stored = walFiles.find(({ name }) => name === spec.wal.lastSegment);
  expect(again).toMatchObject({ code: 0, result: { fetchedBytes: stored?.bytes } });
}, 60_000);

test('connections that are cut in the middle of a body are taken up by range', async () => {
  const spec = await newSpec();
  const before = s3.bytesServed();
  s3.cutConnections(2 * MIB, 12);
  expect(await (await start(spec)).ended).toMatchObject({ code: 0, stderr: '' });
  expect(s3.bytesServed() - before).toBeLessThan(storedBytes(spec) * 1.02 + 40 * MIB);
  await proveRestored(spec);
}, 60_000);

test('a store that is gone for a while does not end the restore', async () => {
  const spec = await newSpec();
  const running = await start(spec);
  await untilDone(running, header.sizes.bytes * 0.2);
  await s3.stop();
  await new Promise((resolve) => setTimeout(resolve, 5_000));
  expect(running.child.exitCode).toBeNull();
  await s3.start();
  expect(await running.ended).toMatchObject({ code: 0, stderr: '' });
  await proveRestored(spec);
}, 90_000);
