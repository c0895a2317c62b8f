/**
 * Scenario: a server archives with the real barman-cloud, bases are taken with it (gzip, plain, cut into parts), and pgr restores with credentials that
 * can only read. Verified: (1) the window is what was made; (2) the rows at T are right from every form of base; (3) a missing segment is a hole that is named;
 * (4) a damaged archive is a typed failure and never a cluster; (5) a killed transfer goes on; (6) what only barman can do is refused.
 */
import { readFile } from 'node:fs/promises';
import path from 'node:path';

import type { BackupStore } from '../../activities/lib/backup-store.js';
import type { RecoveryPlan } from '../../shared/contracts/plan.js';
import type { SandboxRef } from '../../shared/contracts/sandbox.js';
import { pollUntil } from '../../activities/lib/poll.js';
import { createRestoreBase, createPrepareSandbox } from '../../activities/postgres/sandbox/index.js';
import { buildPrograms, type Programs } from '../pg/backup-store/programs.js';
import { barmanCloud, type BarmanCloud } from '../support/barman-cloud.js';
import { bucketHand, makeBarmanScene, type StoreScene, type BucketHand } from '../support/barman-scene.js';
import { commit, serverTime } from '../support/archive.js';
import { destroyAllClusters, serverDirectory, startCluster, type Cluster } from '../support/cluster.js';
import { destroyAllS3, startS3, type TestS3 } from '../support/s3.js';

jest.setTimeout(120_000);

const PREFIX = 'team/';
const SERVER = 'orders';
const MIB = 1024 * 1024;
/** Rows of 1600 bytes that do not compress. */
const NOISE = 70_000;

let s3: TestS3;
let programs: Programs;
let source: Cluster;
let barman: BarmanCloud;
let scene: StoreScene;
let hand: BucketHand;
let store: BackupStore;
/** Bases in the order in which they were taken, and times at which the number of rows is known. */
const bases = { gzip: '', plain: '', parts: '' };
const times = { gzip: '', plain: '', parts: '' };
const rows = { gzip: 1001, plain: 1002, parts: 1003 };
let segmentBetween = '';
/** A time in that segment, between two commits. */
let timeBetween = '';

async function switchWal(): Promise<string> {
  const [row] = await source.query<{ name: string }>('select pg_walfile_name(pg_switch_wal() - 1) as name');
  const name = row!.name;
  const there = await pollUntil(async () => ((await store.walPresence(name)) === 'found' ? true : null), {
    timeoutMs: 60_000,
  });
  if (there === null) throw new Error(`${name} was not archived: ${await readFile(source.logFile, 'utf8')}`);
  return name;
}

/** One row more, a time at which it is there and the mistake that follows is not. */
async function stepAndMistake(base: keyof typeof times): Promise<void> {
  await commit(source, `insert into orders select max(id) + 1, 'after ${base}' from orders returning 1`);
  times[base] = await serverTime(source);
  await source.query("update orders set note = 'mistake'");
  await source.query("update orders set note = 'mended'");
  await switchWal();
}

beforeAll(async () => {
  [s3, programs] = await Promise.all([startS3(), buildPrograms()]);
  barman = await barmanCloud(s3, PREFIX.replace(/\/$/, ''));
  hand = bucketHand(s3);
  source = await startCluster({
    conf: [
      'archive_mode = on',
      `archive_command = '${barman.archiveCommand(SERVER)}'`,
      // More than the defaults: a sandbox that does not know them would refuse to replay.
      'max_connections = 150',
      'autovacuum = off',
    ],
  });
  scene = await makeBarmanScene(s3, source, programs.dir, { prefix: PREFIX, server: SERVER });
  store = await scene.deps.store('shop');
  await source.query("create table orders as select g as id, 'order' as note from generate_series(1, 1000) g");
  await source.query('create table orders_log (what text)');
  bases.gzip = await barman.backup(source, SERVER, ['--gzip']);
  await stepAndMistake('gzip');
  await commit(source, "insert into orders_log values ('between') returning 1");
  timeBetween = await serverTime(source);
  await source.query("insert into orders_log values ('after')");
  segmentBetween = await switchWal();
  await source.query(`create table noise as select g as id, string_agg(md5(random()::text), '') as text
    from generate_series(1, ${String(NOISE)}) g, generate_series(1, 50) h group by g`);
  bases.plain = await barman.backup(source, SERVER);
  await stepAndMistake('plain');
  await source.query('truncate noise');
  bases.parts = await barman.backup(source, SERVER, ['--gzip', '--max-archive-size', '2MB']);
  await stepAndMistake('parts');
}, 240_000);

const opened: SandboxRef[] = [];
const mends: (() => Promise<void>)[] = [];

afterEach(async () => {
  for (const ref of opened.splice(0)) await scene.discard(ref).catch(() => undefined);
  for (const mend of mends.splice(0).reverse()) await mend();
});
afterAll(async () => {
  await destroyAllClusters();
  await destroyAllS3();
  await scene.remove();
  await programs.remove();
}, 60_000);

function sandbox(name: string): SandboxRef {
  const ref = scene.ref(name);
  opened.push(ref);
  return ref;
}

async function windowOf(): ReturnType<BackupStore['window']> {
  const scratchDir = await serverDirectory('pgr-scratch-');
  return store.window({ environment: 'shop', scratchDir, binDir: source.binDir, live: null });
}

const planAt = (base: keyof typeof times): Promise<RecoveryPlan> => scene.plan({ kind: 'time', value: times[base] });
const walKeyOf = (name: string): string => `${PREFIX}${SERVER}/wals/${name.slice(0, 16)}/${name}.gz`;
const baseKeyOf = (id: string, file: string): string => `${PREFIX}${SERVER}/base/${id}/${file}`;

test('the window has the bases that were taken, ends with the last archived commit, and says which base died', async () => {
  mends.push(await hand.write(baseKeyOf('20250101T000000', 'data.tar'), Buffer.from('x')));
  const window = await windowOf();
  expect(window.bases.map(({ id, usable }) => [id, usable])).toEqual([
    [bases.gzip, true],
    [bases.plain, true],
    [bases.parts, true],
  ]);
  expect(window.earliest).toBe(window.bases[0]!.endedAt);
  expect(window.latest! > times.parts).toBe(true);
  expect(window.holes).toEqual([]);
  expect(window.warnings).toEqual([expect.stringMatching(/base 20250101T000000 is not used: it has no backup.info/)]);
  expect((await store.check()).map(({ ok }) => ok)).toEqual([true, true]);
});

test.each(['gzip', 'plain', 'parts'] as const)('rows at T are right from a base that is %s', async (base) => {
  const plan = await planAt(base);
  expect(plan.baseChain.map(({ id }) => id)).toEqual([bases[base]]);
  const ref = sandbox(`rows-${base}`);
  const port = await scene.recover(ref, plan);
  const [row] = await scene.query<{ all: string; wrong: string }>(
    port,
    `select count(*) as all, count(*) filter (where note in ('mistake', 'mended') and id >= ${String(rows[base])}) as wrong from orders`,
  );
  expect(row).toEqual({ all: String(rows[base]), wrong: '0' });
});

test('a sandbox gets the settings that its base needs when nobody else knows them', async () => {
  const plan = await planAt('gzip');
  const minimumSettings = { ...plan.minimumSettings, maxConnections: 100 };
  const port = await scene.recover(sandbox('settings'), { ...plan, minimumSettings });
  expect(await scene.query(port, 'select count(*)::int as all from orders')).toEqual([{ all: rows.gzip }]);
  expect(await scene.query(port, "select current_setting('max_connections') as max")).toEqual([{ max: '150' }]);
});

test('a segment that is missing is a hole with its name, and a target behind it is refused', async () => {
  mends.push(await hand.change(walKeyOf(segmentBetween), null));
  const { holes } = await windowOf();
  expect(holes).toMatchObject([{ firstMissing: segmentBetween, lastMissing: segmentBetween }]);
  await expect(scene.plan({ kind: 'time', value: timeBetween })).rejects.toMatchObject({ type: 'TargetInHole' });
});

test('a segment that went missing after the plan is named before anything large is fetched', async () => {
  const plan = await planAt('gzip');
  mends.push(await hand.change(walKeyOf(plan.fetch.lastSegment), null));
  await expect(scene.recover(sandbox('gone'), plan)).rejects.toMatchObject({
    type: 'TargetInHole',
    message: expect.stringContaining(plan.fetch.lastSegment) as string,
  });
});

test.each([
  ['flipped bytes', (body: Buffer) => Buffer.from(body).fill(0x55, body.length >> 1, (body.length >> 1) + 64)],
  ['a missing end', (body: Buffer) => body.subarray(0, body.length - 5000)],
  ['an empty object', () => Buffer.alloc(0)],
])('an archive with %s is BackupCorrupt and names the object', async (name, damage) => {
  const plan = await planAt('gzip');
  const key = `${SERVER}/base/${bases.gzip}/data.tar.gz`;
  mends.push(await hand.change(PREFIX + key, damage));
  await expect(scene.recover(sandbox(`bad-${name.replaceAll(' ', '-')}`), plan)).rejects.toMatchObject({
    type: 'BackupCorrupt',
    message: expect.stringContaining(key) as string,
  });
});

test('a wal object that is cut is WalCorrupt and names it', async () => {
  const plan = await planAt('gzip');
  mends.push(await hand.change(walKeyOf(plan.fetch.firstSegment), (body) => body.subarray(0, body.length >> 1)));
  await expect(scene.recover(sandbox('cut'), plan)).rejects.toMatchObject({
    type: 'WalCorrupt',
    message: expect.stringContaining(plan.fetch.firstSegment) as string,
  });
});

test('a transfer that is killed is taken up again at the file under way, and stays small in memory', async () => {
  const plan = await planAt('plain');
  const ref = sandbox('killed');
  await createPrepareSandbox(scene.deps)({ ref, plan });
  const jobDir = scene.deps.jobs.directory(`${ref.runId}.restore-base`);
  const restored = createRestoreBase(scene.deps)({ ref, plan });
  const peakKiB = await killAt(jobDir, 70 * MIB);
  const before = s3.bytesServed();
  expect(peakKiB / 1024).toBeLessThan(250);
  // Whoever waits for the transfer sees that it died, and starts it again.
  await restored;
  const port = await scene.recover(ref, plan);
  // Nearly all of this base is one file, so that nearly all of it is sent again; never more than that.
  expect(s3.bytesServed() - before).toBeLessThan(plan.fetch.baseBytes + plan.fetch.walBytes + 2 * MIB);
  expect(await scene.query(port, 'select count(*)::int as all from noise')).toEqual([{ all: NOISE }]);
});

/** Kills the program of a job, and the wrapper that would note its end, when it has done so many bytes. Returns the most memory it had until then. */
async function killAt(jobDir: string, bytes: number): Promise<number> {
  const text = (file: string): Promise<string> => readFile(file, 'utf8').catch(() => '');
  const peak = await pollUntil(
    async () => {
      const progress = await text(path.join(jobDir, 'progress'));
      if (progress === '' || (JSON.parse(progress) as { done: number }).done < bytes) return null;
      const [pid, , wrapper] = (await text(path.join(jobDir, 'claim-1'))).split('\n').map(Number);
      const status = await text(`/proc/${String(pid)}/status`);
      process.kill(wrapper!, 'SIGKILL');
      process.kill(pid!, 'SIGKILL');
      return Number(/VmHWM:\s+(\d+)/.exec(status)?.[1]);
    },
    { timeoutMs: 30_000, everyMs: 5 },
  );
  if (peak === null) throw new Error('the transfer ended before it could be killed');
  return peak;
}

test('what only barman can do is refused and says so', async () => {
  expect(() => store.takeBaseCommand('/none')).toThrow(/only read: it does not take bases/);
  await expect(store.pause('run')).rejects.toMatchObject({ type: 'NotAllowed' });
  await expect(store.abandonTimeline(2, 'run')).rejects.toMatchObject({ type: 'NotAllowed' });
  expect(await store.resume('run')).toMatchObject({ outcome: 'nothing-to-do' });
});
