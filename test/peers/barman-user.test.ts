/**
 * Scenario: Barman on the database machine as its own operating system user, WAL by archive_command (its `incoming` directory), worker as root. Verified: (1) the
 * restored data belong to the user of the server; (2) the directory of the sandbox is closed again; (3) WAL in `incoming` counts; (4) promotion's view: a server
 * that archives is not taken for one that is streamed.
 */
import { chmod, readdir, stat } from 'node:fs/promises';
import path from 'node:path';

import { placeOf } from '../../activities/postgres/sandbox/place.js';
import { commit } from '../support/archive.js';
import { destroyAllBarmans, SERVER, startBarman, type TestBarman } from '../support/barman.js';
import { makeStoreScene, type StoreScene } from '../support/barman-scene.js';
import { destroyAllClusters, serverOwner, startCluster, type Cluster } from '../support/cluster.js';
import { buildPrograms, type Programs } from '../pg/backup-store/programs.js';

jest.setTimeout(180_000);

/** A user that every Debian has and that is neither root nor the servers'. */
const USER = 'backup';
const isRoot = process.getuid?.() === 0;

let programs: Programs;
let source: Cluster;
let barman: TestBarman;
let scene: StoreScene;

beforeAll(async () => {
  if (!isRoot) return;
  programs = await buildPrograms();
  source = await startCluster({ conf: ['autovacuum = off', 'archive_mode = on', "archive_command = 'false'"] });
  barman = await startBarman(source, { user: USER, archiver: true, conf: ['compression = gzip'] });
  scene = await makeStoreScene(source, programs.dir, { kind: 'barman', server: SERVER, command: barman.command });
}, 120_000);

afterAll(async () => {
  await destroyAllBarmans();
  await destroyAllClusters();
  if (!isRoot) return;
  await scene.remove();
  await programs.remove();
}, 60_000);

test('a restore by another user ends with data of the server, in a closed directory', async () => {
  if (!isRoot) {
    process.stderr.write('skipped: it needs root\n');
    return;
  }
  await source.query("create table orders as select g as id, 'order' as note from generate_series(1, 1000) g");
  await barman.backup();
  await source.query("insert into orders values (1001, 'archived')");
  await barman.switchWal();
  const { after } = await commit(source, "insert into orders values (1002, 'incoming') returning 1");
  await source.query('truncate orders');
  const inIncoming = await barman.switchWal();
  expect(await barman.walFiles()).toContain(`incoming/${inIncoming}`);
  const ref = scene.ref('user');
  const plan = await scene.plan({ kind: 'time', value: after });
  // A directory above the sandboxes that only the server's user may enter.
  await expect(scene.recover(ref, plan)).rejects.toMatchObject({
    type: 'NotAllowed',
    message: expect.stringContaining(`may not enter ${scene.dir}`) as string,
  });
  await chmod(scene.dir, 0o711);
  const port = await scene.recover(ref, plan);
  expect(await scene.query(port, 'select count(*)::int as all from orders')).toEqual([{ all: 1002 }]);
  const { dir, dataDir } = placeOf(scene.deps.config, ref);
  const { uid } = await serverOwner();
  const foreign: string[] = [];
  for (const name of await readdir(dataDir, { recursive: true })) {
    const facts = await stat(path.join(dataDir, name)).catch(() => null);
    if (facts !== null && facts.uid !== uid) foreign.push(name);
  }
  expect(foreign).toEqual([]);
  expect((await stat(dir)).mode & 0o777).toBe(0o700);
  const store = await scene.deps.store('shop');
  expect(await store.streamsWal!()).toBe(false);
  expect(await store.resume('run')).toMatchObject({ outcome: 'nothing-to-do' });
  await scene.discard(ref);
});
