/**
 * Scenario: the database machine is gone, Barman with it (seed of a team: one VPS, its Barman home mirrored by rsync every four hours). On a new machine the home is pulled back from
 * the mirror, Barman gets a new configuration, and pgr restores to the end of what the mirror has. Verified: (1) the window ends with the last commit of the mirror, rows that
 * were in the .partial included (`barman restore` gives those up); (2) the new cluster is on a new timeline, which the command of the team's page would not have
 * made; (3) its backups are on again: slot, receiver, backup, `barman check`.
 */
import { execFile } from 'node:child_process';
import { readFile, rm } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';

import { pollUntil } from '../../activities/lib/poll.js';
import * as promotion from '../../activities/postgres/promotion/index.js';
import type { NodeStepInput } from '../../shared/contracts/promotion.js';
import { destroyAllBarmans, SERVER, startBarman, type TestBarman } from '../support/barman.js';
import { makeStoreScene, type StoreScene } from '../support/barman-scene.js';
import { destroyAllClusters, serverDirectory, startCluster, type Cluster } from '../support/cluster.js';
import { buildPrograms, type Programs } from '../pg/backup-store/programs.js';

jest.setTimeout(240_000);

const RUN = 'dddddddd-1111-4000-8000-000000000000';
const run = promisify(execFile);

let programs: Programs;
let production: Cluster;
let mirror = '';
let barman: TestBarman;
let scene: StoreScene;
let systemIdentifier = '';

beforeAll(async () => {
  programs = await buildPrograms();
  production = await startCluster({ conf: ['archive_mode = off', 'autovacuum = off'] });
  const lost = await startBarman(production);
  await production.query('create table orders (id serial primary key, note text)');
  await production.query("insert into orders (note) select 'order' from generate_series(1, 1000)");
  await lost.backup();
  await production.query("insert into orders (note) values ('in the archive')");
  await lost.switchWal();
  await lost.run('archive-wal', SERVER);
  await production.query("insert into orders (note) values ('in the partial')");
  await untilReceived(lost, 'in the partial');
  mirror = await serverDirectory('pgr-mirror-');
  await run('rsync', ['-a', `${lost.home}/`, `${mirror}/`]);
  await production.query("insert into orders (note) values ('after the mirror')");
  const [row] = await production.query<{ id: string }>('select system_identifier::text as id from pg_control_system()');
  systemIdentifier = row!.id;
  // The machine is gone.
  await production.stop('immediate');
  await lost.destroy();
  await rm(production.dataDir, { recursive: true });
  barman = await startBarman(production, { home: mirror });
  scene = await makeStoreScene(production, programs.dir, { kind: 'barman', server: SERVER, command: barman.command });
}, 120_000);

afterAll(async () => {
  await destroyAllBarmans();
  await destroyAllClusters();
  await scene.remove();
  await programs.remove();
  await rm(mirror, { recursive: true, force: true });
}, 60_000);

/** The row is in the segment that is being received; pg_receivewal tells the server of that only every ten seconds. */
async function untilReceived(lost: TestBarman, text: string): Promise<void> {
  const received = await pollUntil(
    async () => {
      const partial = (await lost.walFiles()).find((name) => name.endsWith('.partial')) ?? '';
      const content = await readFile(path.join(lost.home, SERVER, partial)).catch(() => Buffer.alloc(0));
      return content.includes(text) ? true : null;
    },
    { timeoutMs: 30_000, everyMs: 100 },
  );
  if (received === null) throw new Error(`not received: ${(await lost.walFiles()).join(' ')}`);
}

test('the command on the page of the team fails as written', async () => {
  const { stdout } = await barman.run(
    'recover',
    '--target-action',
    'promote',
    SERVER,
    'latest',
    path.join(mirror, 'none'),
  );
  const said = await barman.run('recover', '--target-action', 'promote', SERVER, 'latest', path.join(mirror, 'none'));
  expect(stdout + said.stderr).toMatch(/Can't enable recovery target action when PITR is not required/);
});

test('what the mirror has becomes production on a new timeline, and its backups are on again', async () => {
  const store = await scene.deps.store('shop');
  const broken = (await store.check()).filter(({ ok }) => !ok).map(({ check }) => check);
  expect(broken).toEqual(expect.arrayContaining(['barman-check', 'barman:postgresql']));
  const plan = await scene.plan({ kind: 'latest' });
  expect(plan.systemIdentifier).toBe(systemIdentifier);
  const ref = scene.ref('disaster');
  const port = await scene.recover(ref, plan);
  expect(await scene.query(port, 'select count(*)::int as all from orders')).toEqual([{ all: 1002 }]);
  const expectation = { systemIdentifier, dataDir: production.dataDir, host: 'here' };
  const input: NodeStepInput = {
    environment: 'shop',
    node: 'dallas',
    run: 'shop/change',
    runId: RUN,
    expect: expectation,
  };
  await promotion.createPlanPromotion(scene.deps)({ ...input, ref, plan });
  expect(await promotion.createCaptureTail(scene.deps)(input)).toMatchObject({ outcome: 'primary-down' });
  await store.pause(RUN);
  await promotion.createFenceNode(scene.deps)(input);
  await promotion.createKeepOldData(scene.deps)(input);
  await promotion.createSwapIn(scene.deps)({ ...input, ref });
  const ended = await promotion.createEndRecovery(scene.deps)({ ...input, ref, plan });
  expect(ended.timeline).toBe(2);
  await promotion.createStartNode(scene.deps)(input);
  expect(await production.query('select count(*)::int as all from orders')).toEqual([{ all: 1002 }]);
  const baseline = await promotion.createRebaseline(scene.deps)(input);
  expect(baseline.timeline).toBe(2);
  const settled = await pollUntil(
    async () => {
      await barman.run('cron');
      return (await store.check()).every(({ ok }) => ok) ? true : null;
    },
    { timeoutMs: 60_000, everyMs: 1_000 },
  );
  expect((await store.check()).filter(({ ok }) => !ok)).toEqual([]);
  expect(settled).toBe(true);
});
