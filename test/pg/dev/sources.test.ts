/**
 * Scenario: the dump of a developer comes from a bucket (a real S3 server) or from a backup controller.
 * Verified: 1 the newest day is taken with a key that may only read, and the rows are those of the dump; 2 connections that are cut and a
 * server that restarts do not end a fetch, and one that was cancelled goes on behind what it has; 3 a directory dump in a bucket is one dump; 4 of a controller the last COMPLETED dump, by a user who
 * may only look; 5 neither password stands in what an activity answers.
 */
import { PutObjectCommand, S3Client } from '@aws-sdk/client-s3';
import { randomBytes } from 'node:crypto';
import { readFile, readdir, rm, stat } from 'node:fs/promises';
import path from 'node:path';

import { runProgramOrFail } from '../../../activities/lib/exec.js';
import { createFetchDevDump, createPlanDevRestore } from '../../../activities/postgres/dev/index.js';
import { readIdentities } from '../../../activities/postgres/dev/identities.js';
import { restoreDevProgram } from '../../../activities/postgres/dev/program.js';
import type { DevDumpFile, DevPlan } from '../../../shared/contracts/dev.js';
import { destroyAllClusters, serverDirectory, startCluster, type Cluster } from '../../support/cluster.js';
import { startController } from '../../support/databasus-controller.js';
import { describeWithBucket } from '../../support/databasus.js';
import { waitFor } from '../../support/promotion-scene.js';
import { READER, startS3, type TestS3 } from '../../support/s3.js';
import { devConfig, devDeps, planInput, type DevDeps } from './deps.js';
import { UNTIL_USABLE } from './support.js';

jest.setTimeout(240_000);

const MIB = 1024 * 1024;
const SECRETS = ['PGR_TEST_DEV_KEY', 'PGR_TEST_DEV_SECRET', 'PGR_TEST_DEV_PASSWORD'];

let production: Cluster;
let dev: Cluster;
let s3: TestS3;
let dir: string;

beforeAll(async () => {
  [production, dev, s3] = [await startCluster(), await startCluster(), await startS3()];
  process.env['PGR_TEST_DEV_KEY'] = READER.accessKeyId;
  process.env['PGR_TEST_DEV_SECRET'] = READER.secretAccessKey;
  await production.query('create table orders as select g as id from generate_series(1, 500) g');
});
afterAll(async () => {
  for (const name of SECRETS) Reflect.deleteProperty(process.env, name);
  await s3.destroy();
  await destroyAllClusters();
});
beforeEach(async () => {
  dir = await serverDirectory('pgr-dev-sources-');
});
afterEach(async () => {
  for (const name of ['shop_dev', 'shop_dev__pgr_new', 'shop_dev__pgr_previous']) {
    await dev.query(`drop database if exists ${name} with (force)`);
  }
  await rm(dir, { recursive: true, force: true });
});

async function put(key: string, body: Buffer): Promise<void> {
  const { endpoint, bucket } = s3;
  const client = new S3Client({ endpoint, region: 'us-east-1', forcePathStyle: true, credentials: s3 });
  try {
    await client.send(new PutObjectCommand({ Bucket: bucket, Key: key, Body: body }));
  } finally {
    client.destroy();
  }
}

/** Dumps below a prefix of this test's own. */
function s3Source(prefix: string): Record<string, unknown> {
  const { endpoint, bucket } = s3;
  const keys = { accessKeyId: 'env:PGR_TEST_DEV_KEY', secretAccessKey: 'env:PGR_TEST_DEV_SECRET' };
  return { kind: 's3', endpoint, bucket, prefix, match: '*.dump', ...keys };
}

async function depsWith(source: Record<string, unknown>): Promise<DevDeps> {
  const { port, dataDir, binDir } = production;
  const target = { kind: 'server', url: `postgresql://postgres@127.0.0.1:${String(dev.port)}` };
  const deps = devDeps(dir, devConfig(dir, { port, dataDir, binDir }, { sources: { nightly: source }, target }));
  await waitFor(async () => (await readIdentities(deps)).unknown.length === 0);
  return deps;
}

const planOf = (deps: DevDeps): Promise<DevPlan> => createPlanDevRestore(deps)(planInput());
const fetchOf = async (deps: DevDeps, plan: DevPlan): Promise<DevDumpFile> =>
  (await createFetchDevDump(deps)({ plan, run: 'r', runId: 'i' })).file;

/** The rows of a table of the restored database. */
async function restored(plan: DevPlan, file: DevDumpFile, table: string): Promise<unknown> {
  const server = { host: '127.0.0.1', port: dev.port, user: 'postgres' };
  const systemIdentifier = plan.target.systemIdentifier ?? '';
  const journal = path.join(dir, 'journal.json');
  for (const phase of UNTIL_USABLE) {
    const spec = { plan, phase, file, binDir: dev.binDir, server: { ...server, systemIdentifier }, journal };
    const { problems } = await restoreDevProgram(spec, () => undefined, null);
    expect(problems).toEqual([]);
  }
  const url = dev.url.replace(/postgres$/, 'shop_dev');
  const args = ['-XAtq', '-d', url, '-c', `select count(*) from ${table}`];
  return (await runProgramOrFail(path.join(dev.binDir, 'psql'), args)).trim();
}

async function dumpOf(...args: string[]): Promise<string> {
  const file = path.join(dir, `dump-${String(args.length)}`);
  await runProgramOrFail(path.join(production.binDir, 'pg_dump'), ['-d', production.url, ...args, '-f', file]);
  return file;
}

test('the newest dump of a bucket is restored with a key that may only read', async () => {
  await put('first/daily/2026/11/21/shop.dump', await readFile(await dumpOf('-Fc')));
  await put('first/daily/2026/11/20/shop.dump', Buffer.from('PGDMP of yesterday'));
  await put('first/daily/2026/11/21/shop.dump.metadata', Buffer.from('{}'));
  const deps = await depsWith(s3Source('first/'));
  const plan = await planOf(deps);
  expect(plan).toMatchObject({ sourceKind: 's3', dump: { id: 'daily/2026/11/21/shop.dump' } });
  const file = await fetchOf(deps, plan);
  expect(await restored(plan, file, 'orders')).toBe('500');
  const again = await createFetchDevDump(deps)({ plan, run: 'r', runId: 'i' });
  expect(again.outcome).toBe('already-there');
  expect(JSON.stringify({ plan, file })).not.toContain(READER.secretAccessKey);
});

test('a directory dump in a bucket is one dump', async () => {
  const from = await dumpOf('-Fd', '-j', '2');
  for (const name of await readdir(from)) {
    await put(`folder/2026/11/21/shop.dump/${name}`, await readFile(path.join(from, name)));
  }
  const deps = await depsWith(s3Source('folder/'));
  const plan = await planOf(deps);
  expect(await restored(plan, await fetchOf(deps, plan), 'orders')).toBe('500');
});

test('connections that are cut and a server that restarts do not end a fetch', async () => {
  const content = randomBytes(40 * MIB);
  await put('large/2026/11/21/shop.dump', content);
  const deps = await depsWith(s3Source('large/'));
  const plan = await planOf(deps);
  const to = path.join(dir, 'fetched');
  const source = await deps.dumpSource('shop', 'nightly');
  s3.cutConnections(MIB, 2);
  const restarts: Promise<void>[] = [];
  await source.fetch(plan.dump, to, () => {
    if (restarts.length === 0) restarts.push(s3.stop().then(() => s3.start()));
  });
  await Promise.all(restarts);
  expect((await readFile(to)).equals(content)).toBe(true);
});

test('a fetch that was cancelled goes on behind what it has', async () => {
  const content = randomBytes(72 * MIB);
  await put('long/2026/11/21/shop.dump', content);
  const deps = await depsWith(s3Source('long/'));
  const plan = await planOf(deps);
  const to = path.join(dir, 'fetched');
  const source = await deps.dumpSource('shop', 'nightly');
  const cancelled = source.fetch(plan.dump, to, () => {
    throw new Error('cancelled');
  });
  await expect(cancelled).rejects.toThrow('cancelled');
  const begun = (await stat(`${to}.part`)).size;
  expect(begun).toBe(32 * MIB);
  const before = s3.bytesServed();
  await source.fetch(plan.dump, to, () => undefined);
  expect((await readFile(to)).equals(content)).toBe(true);
  expect(s3.bytesServed() - before).toBeLessThan(content.length - begun + MIB);
});

describeWithBucket('dumps of a controller', () => {
  test('the last complete one is restored, for a user who may list and download', async () => {
    const controller = await startController();
    try {
      process.env['PGR_TEST_DEV_PASSWORD'] = controller.password;
      const { url, email } = controller;
      const password = 'env:PGR_TEST_DEV_PASSWORD';
      const deps = await depsWith({ kind: 'databasus', url, email, password, database: 'app logical' });
      const plan = await planOf(deps);
      expect(plan).toMatchObject({ sourceKind: 'databasus', dump: { bytes: expect.any(Number) as unknown } });
      const file = await fetchOf(deps, plan);
      expect(file).toMatchObject({ format: 'custom', whole: false });
      expect(Number(await restored(plan, file, 'items'))).toBeGreaterThan(0);
      expect(controller.requests.some((one) => one.includes('download-token'))).toBe(true);
      expect(JSON.stringify({ plan, file, requests: controller.requests })).not.toContain(controller.password);
    } finally {
      await controller.stop();
    }
  });

  test('a database that the controller does not have is told with those that it has', async () => {
    const controller = await startController();
    try {
      process.env['PGR_TEST_DEV_PASSWORD'] = controller.password;
      const { url, email } = controller;
      const source = { kind: 'databasus', url, email, password: 'env:PGR_TEST_DEV_PASSWORD', database: 'shop' };
      await expect(planOf(await depsWith(source))).rejects.toMatchObject({
        type: 'NotFound',
        message: expect.stringMatching(/no logical database "shop"; it has app logical/) as unknown,
      });
    } finally {
      await controller.stop();
    }
  });
});
