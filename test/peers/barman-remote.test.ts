/**
 * Scenario: Barman runs on another machine (here: as its own user behind sshd), and the worker reaches it by ssh only. Verified: (1) window, plan, restore and check work
 * through it, WAL that only Barman can unpack included; (2) a machine that does not answer is StoreUnavailable and never an empty store.
 */
import { readdir } from 'node:fs/promises';
import path from 'node:path';

import { placeOf } from '../../activities/postgres/sandbox/place.js';
import { commit } from '../support/archive.js';
import { destroyAllBarmans, SERVER, startBarman, type TestBarman } from '../support/barman.js';
import { makeStoreScene, type StoreScene } from '../support/barman-scene.js';
import { destroyAllClusters, startCluster, type Cluster } from '../support/cluster.js';
import { startSshd, type TestSshd } from '../support/sshd.js';
import { buildPrograms, type Programs } from '../pg/backup-store/programs.js';

jest.setTimeout(180_000);

let sshd: TestSshd | null;
let programs: Programs;
let source: Cluster;
let barman: TestBarman;
let scene: StoreScene;

beforeAll(async () => {
  sshd = await startSshd();
  if (sshd === null) return;
  programs = await buildPrograms();
  source = await startCluster({ conf: ['autovacuum = off'] });
  barman = await startBarman(source, { conf: ['compression = bzip2', 'backup_compression = gzip'] });
  scene = await makeStoreScene(source, programs.dir, {
    kind: 'barman',
    server: SERVER,
    command: barman.command,
    remote: {
      host: sshd.destination,
      sshOptions: sshd.options,
      back: ['ssh', ...sshd.optionsOfServer, sshd.destination].join(' '),
    },
  });
}, 120_000);

afterAll(async () => {
  await destroyAllBarmans();
  await destroyAllClusters();
  await sshd?.stop();
  if (sshd === null) return;
  await scene.remove();
  await programs.remove();
}, 60_000);

test('a compressed backup and bzip2 wal come over ssh, up to what is being received', async () => {
  if (sshd === null) return;
  await source.query("create table orders as select g as id, 'order' as note from generate_series(1, 1000) g");
  const id = await barman.backup();
  await source.query("insert into orders values (1001, 'in the archive')");
  await barman.switchWal();
  await barman.run('archive-wal', SERVER);
  const { after } = await commit(source, "insert into orders values (1002, 'being received') returning 1");
  await source.query('truncate orders');
  const plan = await scene.plan({ kind: 'time', value: after });
  expect(plan.baseChain.map((base) => base.id)).toEqual([id]);
  const ref = scene.ref('remote');
  const port = await scene.recover(ref, plan);
  expect(await scene.query(port, 'select count(*)::int as all from orders')).toEqual([{ all: 1002 }]);
  expect((await readdir(placeOf(scene.deps.config, ref).dataDir)).filter((name) => /barman|origin/.test(name))).toEqual(
    [],
  );
  await scene.discard(ref);
  const lines = await (await scene.deps.store('shop')).check();
  expect(lines.filter(({ ok }) => !ok)).toEqual([]);
  expect(lines.find(({ check }) => check === 'barman-wal')!.actual).toMatch(/only through barman get-wal/);
});

test('a machine that does not answer is StoreUnavailable, and nothing is written', async () => {
  if (sshd === null) return;
  const other = await makeStoreScene(source, programs.dir, {
    kind: 'barman',
    server: SERVER,
    remote: { host: 'nobody@127.0.0.1', sshOptions: ['-p', '1'], back: 'ssh nobody@127.0.0.1' },
  });
  try {
    await expect(other.plan({ kind: 'latest' })).rejects.toMatchObject({ type: 'StoreUnavailable' });
    expect(await readdir(path.join(other.dir, 'sandboxes'))).toEqual([]);
  } finally {
    await other.remove();
  }
});
