/**
 * Scenario: the shutdown checkpoint of the old primary will open a new WAL segment. Verified: both servers have that segment ready before clients wait, and nothing
 * is done a second time.
 */
import pg from 'pg';

import { fillSegment } from '../../../activities/postgres/flip/fill-segment.js';
import { makeNextSegment, type SegmentWork } from '../../../activities/postgres/flip/next-segment.js';
import type { Lsn } from '../../../shared/lsn.js';
import type { Cluster } from '../../support/cluster.js';
import { destroyAllFlipScenes, makeFlipScene, waitFor } from '../../support/flip-scene.js';

jest.setTimeout(120_000);

const clients: pg.Client[] = [];
afterEach(async () => {
  for (const client of clients.splice(0)) await client.end();
  await destroyAllFlipScenes();
});

async function open(cluster: Cluster): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: cluster.url });
  await client.connect();
  clients.push(client);
  return client;
}

test('both servers have the next segment before it is needed', async () => {
  const { dallas, chicago } = await makeFlipScene();
  const from = await open(dallas);
  const to = await open(chicago);
  const checkpoints: string[] = [];
  const replayed = (position: Lsn): Promise<void> =>
    waitFor(async () => {
      const { rows } = await to.query<{ done: boolean }>('select pg_last_wal_replay_lsn() >= $1::pg_lsn as done', [
        position,
      ]);
      return rows[0]?.done === true;
    });
  const work: SegmentWork = {
    from,
    to,
    checkpoint: async (which) => {
      checkpoints.push(which);
      await (which === 'from' ? from : to).query('checkpoint');
    },
    replayed,
  };
  await replayed((await fillSegment(from))!);
  const { rows } = await from.query<{ next: string }>(
    'select pg_walfile_name(pg_current_wal_insert_lsn() + 16777216) as next',
  );
  const has = async (client: pg.Client): Promise<number | null> =>
    (await client.query('select from pg_ls_waldir() where name = $1', [rows[0]?.next])).rowCount;
  expect(await has(to)).toBe(0);
  await expect(makeNextSegment(work)).resolves.toBe('made');
  expect([await has(from), await has(to)]).toEqual([1, 1]);
  expect(checkpoints).toEqual(['from', 'to']);
  await expect(makeNextSegment(work)).resolves.toBe('was-there');
  expect(checkpoints).toHaveLength(2);
});
