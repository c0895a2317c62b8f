/**
 * Scenario: a server whose team changed the compression of barman-cloud again and again. Verified: a base in each compression that barman-cloud-backup
 * knows, and a history of WAL in each that barman-cloud-wal-archive knows, lead to the rows at T.
 */
import { buildPrograms, type Programs } from '../pg/backup-store/programs.js';
import { barmanCloud } from '../support/barman-cloud.js';
import { serverTime } from '../support/archive.js';
import { makeBarmanScene, type StoreScene } from '../support/barman-scene.js';
import { destroyAllClusters, startCluster, type Cluster } from '../support/cluster.js';
import { waitFor } from '../support/flip-scene.js';
import { destroyAllS3, startS3, type TestS3 } from '../support/s3.js';

jest.setTimeout(240_000);

const SERVER = 'shop';
const BASES = ['bzip2', 'snappy', 'lz4'] as const;
const WAL = ['xz', 'zstd', 'bzip2', 'snappy', 'lz4', 'gzip'] as const;

let s3: TestS3;
let programs: Programs;
let source: Cluster;
let scene: StoreScene;
const bases: { kind: (typeof BASES)[number]; id: string; rows: number; time: string }[] = [];

beforeAll(async () => {
  [s3, programs] = await Promise.all([startS3(), buildPrograms()]);
  const barman = await barmanCloud(s3, 'pg');
  source = await startCluster({ conf: ['archive_mode = on', `archive_command = '${barman.archiveCommand(SERVER)}'`] });
  scene = await makeBarmanScene(s3, source, programs.dir, { prefix: 'pg/', server: SERVER });
  const store = await scene.deps.store('shop');
  await source.query('create table orders (id serial, wal text)');
  for (const kind of BASES) {
    const id = await barman.backup(source, SERVER, [`--${kind}`]);
    for (const compression of WAL) {
      await source.query(`alter system set archive_command = '${barman.archiveCommand(SERVER, [`--${compression}`])}'`);
      await source.query('select pg_reload_conf()');
      await source.query(`insert into orders (wal) values ('${compression}')`);
      const [row] = await source.query<{ name: string }>('select pg_walfile_name(pg_switch_wal() - 1) as name');
      await waitFor(async () => (await store.walPresence(row!.name)) === 'found', 60_000);
    }
    const [count] = await source.query<{ rows: number }>('select count(*)::int as rows from orders');
    bases.push({ kind, id, rows: count!.rows, time: await serverTime(source) });
    await source.query("insert into orders (wal) values ('too late')");
  }
  const [last] = await source.query<{ name: string }>('select pg_walfile_name(pg_switch_wal() - 1) as name');
  await waitFor(async () => (await store.walPresence(last!.name)) === 'found', 60_000);
});
afterAll(async () => {
  await destroyAllClusters();
  await destroyAllS3();
  await scene.remove();
  await programs.remove();
}, 60_000);

test.each(BASES)('a base in %s and the WAL behind it, in every compression, lead to the rows at T', async (kind) => {
  const base = bases.find((one) => one.kind === kind)!;
  const plan = await scene.plan({ kind: 'time', value: base.time });
  expect(plan.baseChain.map(({ id }) => id)).toEqual([base.id]);
  expect(plan.warnings.filter((warning) => warning.includes('cannot read'))).toEqual([]);
  const ref = scene.ref(kind);
  try {
    const port = await scene.recover(ref, plan);
    const rows = await scene.query<{ rows: number; last: string }>(
      port,
      `select count(*)::int as rows, (select wal from orders order by id desc limit 1) as last from orders`,
    );
    expect(rows).toEqual([{ rows: base.rows, last: 'gzip' }]);
  } finally {
    await scene.discard(ref);
  }
});
