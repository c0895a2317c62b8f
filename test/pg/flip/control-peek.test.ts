/**
 * Scenario: a flip reads pg_control of the old primary by itself. Verified: what it calls whole is what pg_controldata says, of every server version that is here;
 * a file that was changed, cut short or is of a version nobody knows is not believed; a running server is not called shut down.
 */
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { readControlData } from '../../../activities/postgres/control-data.js';
import { peekShutDown } from '../../../activities/postgres/flip/control-peek.js';
import { provenCheckpoint } from '../../../activities/postgres/flip/old-primary.js';
import { formatLsn } from '../../../shared/lsn.js';
import { destroyAllClusters, startCluster } from '../../support/cluster.js';

afterEach(destroyAllClusters);

const servers = [
  ['PostgreSQL 18', process.env['PGR_TEST_POSTGRES_BIN']],
  ['PostgreSQL 17', process.env['PGR_TEST_POSTGRES17_BIN']],
].filter((server): server is [string, string] => server[1] !== undefined);

test.each(servers)(
  '%s: a cluster that was shut down is recognised, and only as it was written',
  async (_name, binDir) => {
    const cluster = await startCluster({ binDir });
    await expect(peekShutDown(cluster.dataDir)).resolves.toBeNull();
    await cluster.stop();
    const said = await readControlData(cluster.binDir, cluster.dataDir);
    const { checkpointLsn, systemIdentifier } = said!;
    await expect(peekShutDown(cluster.dataDir)).resolves.toEqual({ checkpointLsn, systemIdentifier, whole: true });

    const file = path.join(cluster.dataDir, 'global', 'pg_control');
    const bytes = await readFile(file);
    for (const [at, value] of [
      [33, (bytes[33] ?? 0) ^ 1],
      [8, (bytes[8] ?? 0) ^ 1],
    ] as const) {
      const changed = Buffer.from(bytes);
      changed[at] = value;
      await writeFile(file, changed);
      await expect(peekShutDown(cluster.dataDir)).resolves.toMatchObject({ whole: false });
    }
    await writeFile(file, bytes.subarray(0, 100));
    await expect(peekShutDown(cluster.dataDir)).resolves.toMatchObject({ whole: false });
    await writeFile(file, '');
    await expect(peekShutDown(cluster.dataDir)).resolves.toBeNull();
  },
);

test('a glance that proves nothing is not taken for the shutdown checkpoint: pg_controldata says it, or nobody', async () => {
  const cluster = await startCluster();
  await cluster.stop();
  const { systemIdentifier, checkpointLsn } = (await readControlData(cluster.binDir, cluster.dataDir))!;
  const flip = { from: cluster, plan: { from: { systemIdentifier } } };
  const elsewhere = formatLsn(1n);
  const torn = { checkpointLsn: elsewhere, systemIdentifier, whole: false };
  await expect(provenCheckpoint(flip, torn)).resolves.toBe(checkpointLsn);
  const stranger = { checkpointLsn: elsewhere, systemIdentifier: '1', whole: true };
  await expect(provenCheckpoint(flip, stranger)).resolves.toBe(checkpointLsn);
  const other = { from: cluster, plan: { from: { systemIdentifier: '1' } } };
  await expect(provenCheckpoint(other, { checkpointLsn, systemIdentifier, whole: true })).resolves.toBeNull();
});
