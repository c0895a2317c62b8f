/** The order database of the lab is the same on every PostgreSQL and every machine. */
import path from 'node:path';

import { seedServerOptions } from '../../lab/commands.js';
import { seedShop } from '../../lab/seed.js';
import { SEED_SIZES, tableDigestSql } from '../../lab/seed-sql.js';
import { startServer } from '../../activities/postgres/server.js';
import { withClient } from '../../activities/lib/database.js';
import { destroyAllClusters, startCluster } from '../support/cluster.js';
import { testTools } from '../support/tools.js';

jest.setTimeout(300_000);

afterAll(() => destroyAllClusters());

const TABLES = ['customers', 'orders', 'order_items', 'payments'] as const;
/** Changes only when somebody changes the seed on purpose: saved runs and documentation name its numbers. */
const DIGESTS: Record<string, string> = {
  customers: '60a4396a2625b9057cf3920ecd55c4b8',
  orders: '71b7f33838ee944d8e88e8aa57a1c15d',
  order_items: '25d1a4cddc4c76906ddd99491b49398a',
  payments: '8807b277fa7d19d73e99b4183f758d02',
};

async function seededDigests(
  binDir: string,
): Promise<{ digests: Record<string, string>; rows: Record<string, number>; megabytes: number }> {
  const cluster = await startCluster({ binDir, password: 'abc', start: false });
  await startServer({
    binDir,
    dataDir: cluster.dataDir,
    owner: cluster.owner,
    options: seedServerOptions(cluster.port),
    logFile: path.join(cluster.dir, 'server.log'),
  });
  await seedShop(cluster.port, { postgres: 'abc', replicator: 'abc', shop: 'abc' });
  const digests: Record<string, string> = {};
  const rows: Record<string, number> = {};
  const address = {
    host: '127.0.0.1',
    port: cluster.port,
    user: 'postgres',
    password: 'abc',
    database: 'shop',
    statementTimeoutMs: 0,
  };
  const megabytes = await withClient(address, async (client) => {
    for (const table of TABLES) {
      const found = (await client.query<{ digest: string; rows: number }>(tableDigestSql(table))).rows[0]!;
      digests[table] = found.digest;
      rows[table] = found.rows;
    }
    const mismatch = await client.query(
      'select o.id from orders o join order_items i on i.order_id = o.id group by o.id, o.total having o.total <> sum(i.quantity * i.unit_price) limit 1',
    );
    expect(mismatch.rows).toEqual([]);
    return (await client.query<{ mb: number }>("select (pg_database_size('shop') / 1000000)::int as mb")).rows[0]!.mb;
  });
  await cluster.destroy();
  return { digests, rows, megabytes };
}

test('the rows are the same on PostgreSQL 17 and 18, add up, and take about 100 MB', async () => {
  const { postgresBin, postgres17Bin } = await testTools();
  const newest = await seededDigests(postgresBin);
  expect(newest.digests).toEqual(DIGESTS);
  expect(newest.rows).toMatchObject({ customers: SEED_SIZES.customers, orders: SEED_SIZES.orders });
  expect(newest.megabytes).toBeGreaterThan(90);
  expect(newest.megabytes).toBeLessThan(140);
  if (postgres17Bin !== undefined) expect((await seededDigests(postgres17Bin)).digests).toEqual(DIGESTS);
});
