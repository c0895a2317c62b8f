/** The basics on a real server: sessions that never hang, the state of a server by its data directory, start and stop run twice. */
import { rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import path from 'node:path';

import { withClient } from '../../../activities/lib/database.js';
import { readControlData } from '../../../activities/postgres/control-data.js';
import { readPostmaster } from '../../../activities/postgres/postmaster.js';
import { startServer, stopServer } from '../../../activities/postgres/server.js';
import { destroyAllClusters, startCluster, startStandby, type Cluster } from '../../support/cluster.js';
import { freePort } from '../../support/ports.js';

jest.setTimeout(120_000);

const address = (cluster: { port: number }, password: string | null = null) => ({
  host: '127.0.0.1',
  port: cluster.port,
  user: 'postgres',
  database: 'postgres',
  password,
});

let cluster: Cluster;

beforeAll(async () => {
  cluster = await startCluster({ password: 'open sesame' });
});
afterAll(destroyAllClusters);

describe('a session', () => {
  test('answers in UTC and says who it is', async () => {
    const rows = await withClient(address(cluster, 'open sesame'), async (client) => {
      const result = await client.query<{ zone: string; name: string; timeout: string }>(
        "select current_setting('TimeZone') zone, current_setting('application_name') name, current_setting('statement_timeout') timeout",
      );
      return result.rows;
    });
    expect(rows).toEqual([{ zone: 'UTC', name: 'pgr', timeout: '30s' }]);
  });

  test('with a wrong or missing password is CredentialsRefused and does not tell it', async () => {
    const failure: unknown = await withClient(address(cluster, 'wrong horse'), (c) => c.query('select 1')).catch(
      (e: unknown) => e,
    );
    expect(failure).toMatchObject({ type: 'CredentialsRefused' });
    expect(JSON.stringify(failure) + String(failure)).not.toContain('wrong horse');
    await expect(withClient(address(cluster), (c) => c.query('select 1'))).rejects.toMatchObject({
      type: 'CredentialsRefused',
    });
  });

  test('with nobody at the port is DatabaseUnavailable', async () => {
    await expect(withClient(address({ port: await freePort() }), (c) => c.query('select 1'))).rejects.toMatchObject({
      type: 'DatabaseUnavailable',
    });
  });

  test('with a server that never answers ends in time', async () => {
    const silent = createServer(() => undefined);
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    const { port } = silent.address() as { port: number };
    const start = Date.now();
    await expect(
      withClient({ ...address({ port }), connectTimeoutMs: 300 }, (c) => c.query('select 1')),
    ).rejects.toMatchObject({ type: 'DatabaseUnavailable' });
    expect(Date.now() - start).toBeLessThan(3_000);
    silent.close();
  });

  test('an SQL error passes as it is', async () => {
    await expect(withClient(address(cluster, 'open sesame'), (c) => c.query('select 1/0'))).rejects.toMatchObject({
      code: '22012',
    });
  });

  test('a server stopped by SIGSTOP in the middle ends in DatabaseUnavailable', async () => {
    const state = await readPostmaster(cluster.dataDir);
    if (state.state !== 'running') throw new Error('not running');
    const options = { ...address(cluster, 'open sesame'), connectTimeoutMs: 500 };
    process.kill(state.pid, 'SIGSTOP');
    try {
      const start = Date.now();
      await expect(withClient(options, (c) => c.query('select 1'))).rejects.toMatchObject({
        type: 'DatabaseUnavailable',
      });
      expect(Date.now() - start).toBeLessThan(3_000);
    } finally {
      process.kill(state.pid, 'SIGCONT');
    }
    await expect(
      withClient({ ...options, statementTimeoutMs: 200 }, async (c) => {
        const { rows } = await c.query<{ pid: number }>('select pg_backend_pid() pid');
        const pid = rows[0]?.pid ?? 0;
        process.kill(pid, 'SIGSTOP');
        setTimeout(() => process.kill(pid, 'SIGCONT'), 4_000);
        await c.query('select pg_sleep(10)');
      }),
    ).rejects.toMatchObject({ type: 'DatabaseUnavailable' });
  });
});

describe('the state of a server', () => {
  test('is read from the process, and start and stop may be repeated', async () => {
    const other = await startCluster();
    const running = await readPostmaster(other.dataDir);
    expect(running).toMatchObject({ state: 'running', port: other.port, status: 'ready' });
    await expect(
      startServer({ binDir: other.binDir, dataDir: other.dataDir, logFile: other.logFile }),
    ).resolves.toMatchObject({ outcome: 'already-running' });
    await expect(stopServer({ dataDir: other.dataDir })).resolves.toMatchObject({ outcome: 'stopped' });
    await expect(stopServer({ dataDir: other.dataDir })).resolves.toMatchObject({ outcome: 'already-stopped' });
    await expect(readControlData(other.binDir, other.dataDir)).resolves.toMatchObject({
      state: 'shut down',
      timeline: 1,
      checksums: true,
      walSegmentBytes: 16_777_216,
    });
    await other.destroy();
  });

  test('a left-over pid file of a reused pid is not a running server', async () => {
    const other = await startCluster({ start: false });
    await writeFile(
      path.join(other.dataDir, 'postmaster.pid'),
      `${String(process.pid)}\n${other.dataDir}\n1\n5432\n\n\n\nready\n`,
    );
    await expect(readPostmaster(other.dataDir)).resolves.toMatchObject({ state: 'stopped' });
    await other.destroy();
  });

  test('a server whose pid file is gone is never taken for stopped', async () => {
    const other = await startCluster();
    const before = await readPostmaster(other.dataDir);
    if (before.state !== 'running') throw new Error('not running');
    await rm(path.join(other.dataDir, 'postmaster.pid'));
    await expect(readPostmaster(other.dataDir)).resolves.toMatchObject({ state: 'unknown' });
    process.kill(before.pid, 'SIGQUIT');
    await stopServer({ dataDir: other.dataDir });
    await other.destroy();
  });

  test('a taken port is PortTaken, a broken setting CommandFailed with what the server wrote', async () => {
    const other = await startCluster({ start: false });
    const start = (setting: string) =>
      startServer({ binDir: other.binDir, dataDir: other.dataDir, logFile: other.logFile, options: ['-c', setting] });
    await expect(start(`port=${String(cluster.port)}`)).rejects.toMatchObject({ type: 'PortTaken' });
    await expect(start('shared_buffers=nonsense')).rejects.toMatchObject({
      type: 'CommandFailed',
      message: expect.stringContaining('shared_buffers') as string,
    });
    await other.destroy();
  });

  test('a standby says so', async () => {
    const primary = await startCluster();
    const standby = await startStandby(primary);
    await expect(readPostmaster(standby.dataDir)).resolves.toMatchObject({ state: 'running', status: 'ready' });
    await expect(standby.query('select pg_is_in_recovery() r')).resolves.toEqual([{ r: true }]);
    await standby.destroy();
    await primary.destroy();
  });
});
