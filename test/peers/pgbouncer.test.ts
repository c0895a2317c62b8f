/**
 * Pooler `pgbouncer` and its pause guard against a real PgBouncer in front of a real server. Verified: a pause with idle clients, with a long transaction
 * for each policy, clients that see no error across pause, reconnect and resume, nothing left paused when the process that paused is killed.
 * Needs: pgbouncer.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';

import type { Pooler, PoolerSession } from '../../activities/lib/routing.js';
import { createPoolers } from '../../activities/pooler/create-poolers.js';
import { createPauseGuards } from '../../activities/pooler/pause-guard.js';
import { configSchema, type Config } from '../../config/schema.js';
import { destroyAllClusters, startCluster, type Cluster } from '../support/cluster.js';
import { describeWith } from '../support/peer-process.js';
import {
  destroyAllPgbouncers,
  startPgbouncer,
  type PgbouncerOptions,
  type TestPgbouncer,
} from '../support/pgbouncer.js';
import { bundleInto } from '../support/bundle.js';
import { quickest } from '../support/quickest.js';

const PASSWORD = 'geheim123';

describeWith('pgbouncer')('pgbouncer', () => {
  let server: Cluster;
  let programs: string;
  const sessions: PoolerSession[] = [];
  const clients: pg.Client[] = [];
  const children: ChildProcess[] = [];

  beforeAll(async () => {
    server = await startCluster();
    await server.query('create database orders');
    programs = await mkdtemp(path.join(tmpdir(), 'pgr-guard-'));
    await bundleInto(programs, ['workers/resume-poolers.ts', 'test/support/pause-child.ts']);
  });
  afterEach(async () => {
    for (const child of children.splice(0)) child.kill('SIGKILL');
    await endGuards();
    await Promise.all(clients.splice(0).map((client) => client.end().catch(() => undefined)));
    await Promise.all(sessions.splice(0).map((session) => session.close()));
    await destroyAllPgbouncers();
  });
  afterAll(async () => {
    await destroyAllPgbouncers();
    await destroyAllClusters();
    await rm(programs, { recursive: true, force: true });
  });

  type Policy = { pauseTimeout?: string; onTimeout?: string; databases?: string[]; user?: string };
  const configOf = (pgbouncer: TestPgbouncer, policy: Policy = {}): Config =>
    configSchema.parse({
      version: 1,
      stateDir: path.join(programs, 'state'),
      record: { kind: 'directory', path: '/nowhere' },
      environments: {
        shop: {
          postgres: {},
          nodes: [
            {
              name: 'dallas',
              host: 'dallas',
              address: '127.0.0.1',
              port: server.port,
              dataDir: '/d',
              binDir: '/b',
              runtime: { kind: 'process' },
            },
            // Nobody there: a pooler's blockers are found all the same.
            {
              name: 'chicago',
              host: 'chicago',
              address: '127.0.0.1',
              port: 1,
              dataDir: '/c',
              binDir: '/b',
              runtime: { kind: 'process' },
            },
          ],
          routing: {
            kind: 'multihost',
            url: `postgresql://127.0.0.1:${String(server.port)}/postgres?target_session_attrs=read-write`,
          },
          poolers: [
            {
              name: 'pool1',
              kind: 'pgbouncer',
              address: '127.0.0.1',
              port: pgbouncer.port,
              password: `env:${PASSWORD}`,
              pauseTimeout: '1s',
              ...policy,
            },
          ],
          backups: { kind: 's3', bucket: 'b', accessKeyId: 'env:A', secretAccessKey: 'env:B' },
        },
      },
    });
  const start = (options: Partial<PgbouncerOptions> = {}): Promise<TestPgbouncer> =>
    startPgbouncer({ target: { port: server.port }, password: PASSWORD, ...options });
  const poolerOf = (pgbouncer: TestPgbouncer, policy: Policy = {}): Pooler => {
    const config = configOf(pgbouncer, policy);
    const [pooler] = createPoolers(config, () => Promise.resolve(PASSWORD))('shop');
    if (pooler === undefined) throw new Error('no pooler');
    return pooler;
  };
  const open = async (pgbouncer: TestPgbouncer, policy: Policy = {}): Promise<PoolerSession> => {
    const session = await poolerOf(pgbouncer, policy).open(2_000);
    sessions.push(session);
    return session;
  };
  const connect = async (pgbouncer: TestPgbouncer, database = 'postgres'): Promise<pg.Client> => {
    const client = new pg.Client({ connectionString: pgbouncer.url(database) });
    client.on('error', () => undefined);
    await client.connect();
    clients.push(client);
    return client;
  };
  const guards = (config: Config, deadlineMs: number) =>
    createPauseGuards(
      {
        config,
        resolveSecret: () => Promise.resolve(PASSWORD),
        program: { node: process.execPath, distDir: programs, configPath: '/nowhere' },
      },
      deadlineMs,
    );
  const guardDirs = async (): Promise<string[]> => {
    const parent = path.join(programs, 'state', 'pause-guards', 'shop');
    return (await readdir(parent).catch(() => [])).map((name) => path.join(parent, name));
  };
  const endGuards = async (): Promise<void> => {
    for (const dir of await guardDirs()) {
      const pid = Number(await readFile(path.join(dir, 'ready'), 'utf8').catch(() => '0'));
      const commandLine = await readFile(`/proc/${String(pid)}/cmdline`, 'utf8').catch(() => '');
      if (pid > 0 && commandLine.includes(programs)) process.kill(pid, 'SIGKILL');
      await rm(dir, { recursive: true, force: true });
    }
  };

  test('with idle clients a pause takes milliseconds, new queries wait for the resume, and twice is like once', async () => {
    const pgbouncer = await start();
    const client = await connect(pgbouncer);
    await client.query('select 1');
    const session = await open(pgbouncer);
    expect(await session.state()).toEqual({ name: 'pool1', state: 'active', why: null, waiting: 0 });
    const outcome = await session.pause();
    expect(outcome).toMatchObject({ outcome: 'paused', ended: [] });
    const paused = async (): Promise<number> => {
      await session.resume();
      const again = await session.pause();
      return again.outcome === 'paused' ? again.ms : Infinity;
    };
    expect(await quickest(200, paused)).toBeLessThan(200);
    const answer = client.query('select 2 as two');
    await eventually(async () => (await session.state()).waiting === 1);
    expect(await session.pause()).toMatchObject({ outcome: 'paused' });
    expect(await session.state()).toMatchObject({ state: 'paused', waiting: 1 });
    await session.resume();
    expect((await answer).rows).toEqual([{ two: 2 }]);
    await session.resume();
    expect(await session.state()).toMatchObject({ state: 'active', waiting: 0 });
  });

  test('zero client errors across pause, restart of the server, reconnect and resume', async () => {
    const pgbouncer = await start();
    const session = await open(pgbouncer);
    await server.query('create table if not exists written (n int)');
    const state = { stop: false, errors: [] as string[], acknowledged: 0 };
    const writers = Array.from({ length: 4 }, async () => {
      const client = await connect(pgbouncer);
      while (!state.stop) {
        await client.query('insert into written values (1)').then(
          () => (state.acknowledged += 1),
          (error: unknown) => state.errors.push(String(error)),
        );
        await delay(2);
      }
    });
    await eventually(() => Promise.resolve(state.acknowledged > 50));
    expect(await session.pause()).toMatchObject({ outcome: 'paused' });
    await server.stop('fast');
    await server.start();
    await session.reconnect();
    await session.resume();
    const after = state.acknowledged;
    await eventually(() => Promise.resolve(state.acknowledged > after + 50));
    state.stop = true;
    await Promise.all(writers);
    expect(state.errors).toEqual([]);
    const [row] = await server.query<{ count: number }>('select count(*)::int as count from written');
    expect(row?.count).toBe(state.acknowledged);
  });

  const openTransaction = async (
    pgbouncer: TestPgbouncer,
    sql: string,
  ): Promise<{ client: pg.Client; done: Promise<unknown> }> => {
    const client = await connect(pgbouncer);
    await client.query('begin');
    const done = client.query(sql).catch((error: unknown) => error);
    if (sql.includes('sleep'))
      await eventually(
        async () =>
          (
            await server.query(
              "select 1 from pg_stat_activity where query like '%sleep%' and state = 'active' and pid <> pg_backend_pid()",
            )
          ).length > 0,
      );
    else await done;
    return { client, done };
  };

  test('give-up: a long transaction is named with pid, age and query, and everything goes on', async () => {
    const pgbouncer = await start();
    const { client } = await openTransaction(pgbouncer, 'select 42 as "the answer"');
    const other = await connect(pgbouncer);
    const session = await open(pgbouncer, { onTimeout: 'give-up' });
    const pausing = session.pause();
    const waited = other.query('select 3 as three');
    const outcome = await pausing;
    expect(outcome).toMatchObject({
      outcome: 'gave-up',
      blockers: [{ database: 'postgres', user: 'postgres', query: 'select 42 as "the answer"' }],
    });
    const [blocker] = outcome.outcome === 'gave-up' ? outcome.blockers : [];
    const [seen] = await server.query<{ pid: number }>(
      "select pid from pg_stat_activity where state = 'idle in transaction'",
    );
    expect(blocker?.pid).toBe(seen?.pid);
    expect(blocker?.ageSeconds).toBeGreaterThanOrEqual(1);
    expect((await waited).rows).toEqual([{ three: 3 }]);
    expect(await session.state()).toMatchObject({ state: 'active' });
    await client.query('commit');
    expect(await session.pause()).toMatchObject({ outcome: 'paused' });
    await session.resume();
  });

  test.each([
    ['that is idle', 'select 1'],
    ['that runs a statement', 'select pg_sleep(60)'],
  ])('cancel: a long transaction %s is ended and named', async (_, sql) => {
    const pgbouncer = await start();
    const { client } = await openTransaction(pgbouncer, sql);
    // A session of somebody else, which the pooler knows nothing of.
    const direct = new pg.Client({ connectionString: server.url });
    await direct.connect();
    clients.push(direct);
    const session = await open(pgbouncer, { onTimeout: 'cancel' });
    const outcome = await session.pause();
    expect(outcome).toMatchObject({ outcome: 'paused', ended: [{ database: 'postgres', query: sql }] });
    expect(await session.state()).toMatchObject({ state: 'paused' });
    await session.resume();
    await expect(client.query('select 1')).rejects.toThrow();
    expect((await direct.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
  });

  test('wait: the pause comes when the transaction ends, and signs of life are given meanwhile', async () => {
    const pgbouncer = await start();
    const { client } = await openTransaction(pgbouncer, 'select 1');
    const session = await open(pgbouncer, { onTimeout: 'wait' });
    const signs: number[] = [];
    const pausing = session.pause({ stillWaiting: () => Promise.resolve(void signs.push(Date.now())) });
    await eventually(() => Promise.resolve(signs.length >= 2));
    await client.query('commit');
    expect(await pausing).toMatchObject({ outcome: 'paused' });
    await session.resume();
  });

  test('wait: a pause that somebody else resumed is given up instead of waiting for ever', async () => {
    const pgbouncer = await start();
    await openTransaction(pgbouncer, 'select 1');
    const session = await open(pgbouncer, { onTimeout: 'wait' });
    const pausing = session.pause();
    await eventually(async () => (await session.state()).state === 'paused');
    await pgbouncer.admin('RESUME postgres');
    expect(await pausing).toMatchObject({ outcome: 'gave-up' });
    expect(await session.state()).toMatchObject({ state: 'active' });
  });

  test('a pause that fails in the middle leaves nothing paused', async () => {
    const pgbouncer = await start();
    await openTransaction(pgbouncer, 'select 1');
    const session = await open(pgbouncer, { onTimeout: 'wait' });
    await expect(session.pause({ stillWaiting: () => Promise.reject(new Error('the guard is dead')) })).rejects.toThrow(
      'the guard is dead',
    );
    expect(await session.state()).toMatchObject({ state: 'active' });
  });

  test('in session mode an idle client holds its server, and is named', async () => {
    const pgbouncer = await start({ poolMode: 'session' });
    const client = await connect(pgbouncer);
    await client.query('select 7');
    const session = await open(pgbouncer);
    expect(await session.pause()).toMatchObject({ outcome: 'gave-up', blockers: [{ query: 'select 7' }] });
  });

  test('only the databases of the config are paused', async () => {
    const pgbouncer = await start({ databases: ['postgres', 'orders'] });
    const session = await open(pgbouncer, { databases: ['orders'] });
    const other = await connect(pgbouncer);
    await session.pause();
    expect((await other.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
    expect(await pgbouncer.admin('SHOW DATABASES')).toMatchObject([
      { name: 'orders', paused: 1 },
      { name: 'pgbouncer' },
      { name: 'postgres', paused: 0 },
    ]);
    await session.resume();
  });

  test('a pooler that somebody has paused as a whole is refused with its own words', async () => {
    const pgbouncer = await start({ databases: ['postgres'] });
    await pgbouncer.admin('PAUSE');
    const session = await open(pgbouncer);
    await expect(session.pause()).rejects.toMatchObject({
      type: 'PreconditionFailed',
      message: containing('already suspended/paused'),
    });
    await pgbouncer.admin('RESUME');
  });

  test('a pooler that is gone, a wrong password and a user without rights are three answers', async () => {
    const pgbouncer = await start({ settings: ['stats_users = postgres'] });
    const wrong = createPoolers(configOf(pgbouncer), () => Promise.resolve('wrong'))('shop')[0];
    const failure = await wrong?.open(1_000).catch((error: unknown) => error);
    expect(failure).toMatchObject({ message: containing('pool1') });
    expect(String(failure)).not.toContain(PASSWORD);
    await expect(poolerOf(pgbouncer, { user: 'postgres' }).open(1_000)).rejects.toMatchObject({ type: 'NotAllowed' });
    const session = await open(pgbouncer);
    await pgbouncer.stop('SIGKILL');
    await expect(session.state()).rejects.toMatchObject({ type: 'RoutingUnavailable' });
    await expect(poolerOf(pgbouncer).open(1_000)).rejects.toMatchObject({ type: 'RoutingUnavailable' });
  });

  describe('pause guard', () => {
    test('clients go on within the deadline when the process that paused is killed', async () => {
      const pgbouncer = await start({ databases: ['postgres'] });
      const client = await connect(pgbouncer);
      const specFile = path.join(programs, 'spec.json');
      const config = configOf(pgbouncer);
      await writeFile(specFile, JSON.stringify({ config, distDir: programs, deadlineMs: 1_500 }));
      const child = spawn(process.execPath, [path.join(programs, 'pause-child.cjs'), specFile], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      children.push(child);
      const said = await new Promise<string>((resolve) =>
        child.stdout.once('data', (data: Buffer) => {
          resolve(String(data));
        }),
      );
      expect(said).toBe('paused\n');
      const killedAt = performance.now();
      child.kill('SIGKILL');
      expect((await client.query('select 5 as five')).rows).toEqual([{ five: 5 }]);
      const waited = performance.now() - killedAt;
      expect(waited).toBeGreaterThan(500);
      expect(waited).toBeLessThan(3_000);
      // Nobody needs the guard any more: it ends by itself.
      const [dir = ''] = await guardDirs();
      await eventually(async () => (await readFile(path.join(dir, 'ended'), 'utf8')).includes('"resumed":true'));
    });

    test('a sign of life begins the time anew, and its end comes without a resume', async () => {
      const pgbouncer = await start({ databases: ['postgres'] });
      const session = await open(pgbouncer);
      const guard = await guards(configOf(pgbouncer), 800)('shop');
      await guard.extend();
      await session.pause();
      for (let i = 0; i < 4; i += 1) {
        await delay(300);
        await guard.extend();
      }
      expect(await session.state()).toMatchObject({ state: 'paused' });
      expect(await guard.done()).toEqual({ resumed: false });
      expect(await guardDirs()).toEqual([]);
      await session.resume();
    });

    test('a pause that lasts too long is resumed, and it says so; checkpoints before the pause do not use it up', async () => {
      const pgbouncer = await start({ databases: ['postgres'] });
      const session = await open(pgbouncer);
      const guard = await guards(configOf(pgbouncer), 300)('shop');
      await delay(700);
      await guard.extend();
      await session.pause();
      await eventually(async () => (await session.state()).state === 'active');
      expect(await guard.done()).toEqual({ resumed: true });
    });

    test('a new guard ends the one of an earlier attempt, which would resume in the middle of its pause', async () => {
      const pgbouncer = await start({ databases: ['postgres'] });
      const session = await open(pgbouncer);
      const config = configOf(pgbouncer);
      const first = await guards(config, 600)('shop');
      const second = await guards(config, 60_000)('shop');
      await second.extend();
      await session.pause();
      await delay(1_000);
      expect(await session.state()).toMatchObject({ state: 'paused' });
      await session.resume();
      await eventually(async () =>
        first.extend().then(
          () => false,
          () => true,
        ),
      );
      expect(await second.done()).toEqual({ resumed: false });
    });

    test('a guard that cannot reach its pooler does not start, so that nothing is paused', async () => {
      const pgbouncer = await start();
      await pgbouncer.stop();
      await expect(guards(configOf(pgbouncer), 1_000)('shop')).rejects.toMatchObject({
        type: 'RoutingUnavailable',
        message: containing('pause guard did not start'),
      });
      expect(await guardDirs()).toEqual([]);
    });

    test('its password stands in no argument, environment or file', async () => {
      const pgbouncer = await start({ databases: ['postgres'] });
      const guard = await guards(configOf(pgbouncer), 5_000)('shop');
      const [dir = ''] = await guardDirs();
      const pid = (await readFile(path.join(dir, 'ready'), 'utf8')).trim();
      const texts = [
        `/proc/${pid}/cmdline`,
        `/proc/${pid}/environ`,
        ...(await readdir(dir)).map((name) => path.join(dir, name)),
      ];
      for (const file of texts) expect(await readFile(file, 'utf8')).not.toContain(PASSWORD);
      await guard.done();
    });
  });
});

const containing = (text: string): unknown => expect.stringContaining(text) as unknown;

async function eventually(look: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 10_000;
  while (!(await look().catch(() => false))) {
    if (Date.now() > deadline) throw new Error('it did not happen in 10 s');
    await delay(10);
  }
}
