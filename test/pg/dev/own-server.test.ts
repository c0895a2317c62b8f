/**
 * Scenario: a developer has no server; one is made, from nothing, out of a dump on this machine.
 * Verified: 1 the steps of a run, from the plan to the rows, with the phases as jobs; 2 a server that was stopped is started, one that runs is left alone;
 * 3 what an attempt left that died while it made the cluster is made anew; 4 a cluster that pgr did not make is refused and stays as it is.
 */
import { chown, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import pg from 'pg';

import { runProgramOrFail } from '../../../activities/lib/exec.js';
import { runAsOwner } from '../../../activities/postgres/data-directory.js';
import * as activities from '../../../activities/postgres/dev/index.js';
import { stopServer } from '../../../activities/postgres/server.js';
import type { DevPhase, DevPhaseResult, DevPlan, PrepareDevTargetResult } from '../../../shared/contracts/dev.js';
import { bundleFile } from '../../support/bundle.js';
import { destroyAllClusters, serverDirectory, serverOwner, startCluster, type Cluster } from '../../support/cluster.js';
import { freePort } from '../../support/ports.js';
import { devConfig, devDeps, planInput, type DevDeps } from './deps.js';
import { UNTIL_USABLE } from './support.js';

jest.setTimeout(240_000);

let production: Cluster;
let dir: string;
let port: number;
let deps: DevDeps;
const runId = 'own00000-0000-4000-8000-000000000000';

const dataDir = (): string => path.join(dir, 'dev', 'data');

beforeAll(async () => {
  production = await startCluster();
  await production.query('create table orders as select g as id, md5(g::text) as body from generate_series(1, 500) g');
});
afterAll(destroyAllClusters);
beforeEach(async () => {
  dir = await serverDirectory('pgr-own-');
  port = await freePort();
  const file = path.join(dir, 'shop.dump');
  await runProgramOrFail(path.join(production.binDir, 'pg_dump'), ['-d', production.url, '-Fc', '-f', file]);
  await bundleFile('workers/restore-dev.ts', path.join(dir, 'restore-dev.cjs'));
  await mkdir(path.join(dir, 'dev'));
  const { uid, gid } = await serverOwner();
  if (process.getuid?.() === 0) await chown(path.join(dir, 'dev'), uid, gid);
  const target = { kind: 'process', dataDir: dataDir(), port, runAs: await userOf(uid) };
  deps = devDeps(
    dir,
    devConfig(dir, nodeOf(production), { sources: { nightly: { kind: 'file', path: file } }, target }),
  );
});
afterEach(async () => {
  await stop();
  await rm(dir, { recursive: true, force: true });
});

const nodeOf = ({ port: at, dataDir: data, binDir }: Cluster) => ({ port: at, dataDir: data, binDir });

async function userOf(uid: number): Promise<string> {
  return (await runProgramOrFail('id', ['-un', String(uid)])).trim();
}

async function stop(): Promise<void> {
  await stopServer({ dataDir: dataDir() });
}

const prepare = (plan: DevPlan): Promise<PrepareDevTargetResult> =>
  activities.createPrepareDevTarget(deps)({ plan, run: 'shop/restore-dev/1', runId });

async function restore(plan: DevPlan, { systemIdentifier }: PrepareDevTargetResult): Promise<DevPhaseResult[]> {
  const { file } = await activities.createFetchDevDump(deps)({ plan, run: 'r', runId });
  const results: DevPhaseResult[] = [];
  const phases: DevPhase[] = [...UNTIL_USABLE, 'prove'];
  for (const phase of phases) {
    const input = { plan, run: 'shop/restore-dev/1', runId, phase, file, systemIdentifier };
    results.push(await activities.createRunDevPhase(deps)(input));
  }
  return results;
}

async function count(database = 'shop_dev'): Promise<unknown> {
  const client = new pg.Client({ host: '127.0.0.1', port, user: 'postgres', database });
  client.on('error', () => undefined);
  await client.connect();
  try {
    return (await client.query<{ n: number }>('select count(*)::int as n from orders')).rows[0]?.n;
  } finally {
    await client.end();
  }
}

test('from nothing to the rows, and once more when the server was stopped', async () => {
  const plan = await activities.createPlanDevRestore(deps)(planInput());
  expect(plan.target).toMatchObject({ kind: 'process', systemIdentifier: null });
  const server = await prepare(plan);
  expect(server).toMatchObject({ outcome: 'made', url: `postgresql://postgres@127.0.0.1:${String(port)}/shop_dev` });
  expect((await prepare(plan)).outcome).toBe('already-running');
  expect((await restore(plan, server)).flatMap(({ problems }) => problems)).toEqual([]);
  expect(await count()).toBe(500);

  await stop();
  const again = await activities.createPlanDevRestore(deps)(planInput());
  expect(again.target.systemIdentifier).toBe(server.systemIdentifier);
  expect(await prepare(again)).toMatchObject({ outcome: 'started', systemIdentifier: server.systemIdentifier });
  expect(await count()).toBe(500);
  const third = await activities.createPlanDevRestore(deps)(planInput());
  expect(third.replaces?.bytes).toBeGreaterThan(0);
});

test('what an attempt left that died while it made the cluster is made anew', async () => {
  const plan = await activities.createPlanDevRestore(deps)(planInput());
  await mkdir(`${dataDir()}.new`);
  await writeFile(path.join(`${dataDir()}.new`, 'PG_VERSION'), '18\n');
  expect((await prepare(plan)).outcome).toBe('made');
});

test('a cluster that pgr did not make is refused, and stays as it is', async () => {
  const plan = await activities.createPlanDevRestore(deps)(planInput());
  const args = ['-D', dataDir(), '-U', 'postgres', '--no-sync', '--auth=trust'];
  await runProgramOrFail(path.join(production.binDir, 'initdb'), args, runAsOwner(await serverOwner()));
  const before = await readFile(path.join(dataDir(), 'global', 'pg_control'));
  await expect(prepare(plan)).rejects.toMatchObject({
    type: 'PreconditionFailed',
    message: expect.stringMatching(/was not made by pgr/) as unknown,
  });
  expect((await readFile(path.join(dataDir(), 'global', 'pg_control'))).equals(before)).toBe(true);
});
