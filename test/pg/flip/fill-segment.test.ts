/** Scenario: a primary that archives is about to be stopped for a flip. Verified: its segment is nearly full, so that its end is not megabytes of zeros to send. */
import pg from 'pg';

import { fillSegment } from '../../../activities/postgres/flip/fill-segment.js';
import { destroyAllClusters, startCluster, type Cluster } from '../../support/cluster.js';

const MIB = 1024 * 1024;

afterEach(destroyAllClusters);

async function withClient<T>(cluster: Cluster, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: cluster.url });
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

async function bytesLeft(client: pg.Client): Promise<number> {
  const { rows } = await client.query<{ left: string }>(
    'select 16777216 - (pg_walfile_name_offset(pg_current_wal_insert_lsn())).file_offset as left',
  );
  return Number(rows[0]?.left);
}

test('the segment of a primary that archives is filled up to its last megabyte, and no further', async () => {
  const cluster = await startCluster({ conf: ["archive_mode = 'on'", "archive_command = 'true'"] });
  await withClient(cluster, async (client) => {
    await client.query('select pg_switch_wal()');
    await client.query('create table fresh (id int)');
    const segment = 'select pg_walfile_name(pg_current_wal_insert_lsn()) as name';
    const before = await client.query(segment);
    expect(await bytesLeft(client)).toBeGreaterThan(15 * MIB);
    expect(await fillSegment(client)).toMatch(/^[0-9A-F]+\/[0-9A-F]+$/);
    expect((await client.query(segment)).rows).toEqual(before.rows);
    const left = await bytesLeft(client);
    expect(left).toBeLessThan(MIB);
    // Nothing to do any more.
    await fillSegment(client);
    expect(await bytesLeft(client)).toBeGreaterThan(left - 1024);
  });
});

test('nothing is written on a primary that does not archive: its shutdown does not end the segment', async () => {
  const cluster = await startCluster({ conf: ["archive_mode = 'off'"] });
  await withClient(cluster, async (client) => {
    const before = await bytesLeft(client);
    expect(await fillSegment(client)).toBeNull();
    expect(await bytesLeft(client)).toBe(before);
  });
});
