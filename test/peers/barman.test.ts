/**
 * Scenario: a server whose WAL streams to a real Barman, which also takes its backups; pgr restores from it with its own sandbox. Verified: (1) the window is what was
 * made, its end inside the segment that is being received; (2) the rows at T are right for every kind of target; (3) holes, damage and foreign data are typed
 * failures, and nothing is written for what is refused; (4) a killed restore is begun again cleanly and its mark at Barman is taken away; (5) nothing of
 * Barman's own settings is left in the data; (6) streaming and backups come back by `resume` and `takeBase`.
 */
import { existsSync } from 'node:fs';
import { copyFile, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { pollUntil } from '../../activities/lib/poll.js';
import type { BackupStore } from '../../activities/lib/backup-store.js';
import { createTakeBase } from '../../activities/postgres/promotion/take-base.js';
import { placeOf } from '../../activities/postgres/sandbox/place.js';
import { createPrepareSandbox, createRestoreBase } from '../../activities/postgres/sandbox/index.js';
import type { RecoveryPlan } from '../../shared/contracts/plan.js';
import type { SandboxRef } from '../../shared/contracts/sandbox.js';
import type { TargetSpec } from '../../shared/target-time.js';
import { buildPrograms, type Programs } from '../pg/backup-store/programs.js';
import { commit, currentLsn } from '../support/archive.js';
import { destroyAllBarmans, SERVER, startBarman, type TestBarman } from '../support/barman.js';
import { makeStoreScene, type StoreScene } from '../support/barman-scene.js';
import { destroyAllClusters, serverDirectory, startCluster, type Cluster } from '../support/cluster.js';
import { testTools } from '../support/tools.js';

jest.setTimeout(120_000);

type Moment = { time: string; xid: string; rows: number };

let programs: Programs;

beforeAll(async () => {
  programs = await buildPrograms();
});
afterAll(() => programs.remove());

const only = process.env['PGR_TEST_BARMAN_MAJOR'];
describe.each(['18', '17'].filter((major) => only === undefined || only === major))('PostgreSQL %s', (major) => {
  let source: Cluster;
  let barman: TestBarman;
  let scene: StoreScene;
  let store: BackupStore;
  const backups: string[] = [];
  const moments: Record<'first' | 'second' | 'last', Moment> = {
    first: { time: '', xid: '', rows: 0 },
    second: { time: '', xid: '', rows: 0 },
    last: { time: '', xid: '', rows: 0 },
  };
  let between = '';
  let lsnAtSecond = '';
  const opened: SandboxRef[] = [];
  const mends: (() => Promise<void>)[] = [];

  const count = async (): Promise<number> => {
    const [row] = await source.query<{ all: number }>('select count(*)::int as all from orders');
    return row!.all;
  };

  async function moment(name: keyof typeof moments): Promise<void> {
    const { xid, after } = await commit(source, "insert into orders (note) values ('kept') returning 1");
    moments[name] = { time: after, xid, rows: await count() };
    await source.query("delete from orders where id <= 10 or note = 'mistake'");
    await source.query("insert into orders (id, note) select g, 'mistake' from generate_series(1, 10) g");
  }

  beforeAll(async () => {
    const tools = await testTools();
    const binDir = major === '17' ? tools.postgres17Bin! : tools.postgresBin;
    // More than the defaults: a sandbox that does not know them would refuse to replay.
    source = await startCluster({ binDir, conf: ['max_connections = 150', 'autovacuum = off'] });
    barman = await startBarman(source);
    scene = await makeStoreScene(source, programs.dir, { kind: 'barman', server: SERVER, command: barman.command });
    store = await scene.deps.store('shop');
    await source.query('create table orders (id serial primary key, note text)');
    await source.query("insert into orders (note) select 'order' from generate_series(1, 1000)");
    backups.push(await barman.backup());
    await moment('first');
    between = await barman.switchWal();
    await moment('second');
    await source.query("select pg_create_restore_point('before the release')");
    lsnAtSecond = await currentLsn(source);
    await source.query("insert into orders (note) values ('after the release')");
    await barman.switchWal();
    backups.push(await barman.backup('--incremental', 'latest'));
    await barman.run('cron');
    await moment('last');
  }, 240_000);

  afterEach(async () => {
    for (const ref of opened.splice(0)) await scene.discard(ref).catch(() => undefined);
    for (const mend of mends.splice(0).reverse()) await mend();
  });
  afterAll(async () => {
    await destroyAllBarmans();
    await destroyAllClusters();
    await scene.remove();
  }, 60_000);

  function sandbox(name: string): SandboxRef {
    const ref = scene.ref(`${name}-${major}`);
    opened.push(ref);
    return ref;
  }

  const windowOf = async (): ReturnType<BackupStore['window']> => {
    const scratchDir = await serverDirectory('pgr-scratch-');
    mends.push(() => rm(scratchDir, { recursive: true, force: true }));
    return store.window({ environment: 'shop', scratchDir, binDir: source.binDir, live: null });
  };
  const rowsAt = async (ref: SandboxRef, plan: RecoveryPlan): Promise<number> => {
    const port = await scene.recover(ref, plan);
    const [row] = await scene.query<{ all: number }>(port, 'select count(*)::int as all from orders');
    return row!.all;
  };
  const planAt = (name: keyof typeof moments): Promise<RecoveryPlan> =>
    scene.plan({ kind: 'time', value: moments[name].time });
  /** A file of Barman's, taken away or changed, and how it is put back. */
  const change = async (file: string, to: ((body: Buffer) => Buffer) | null): Promise<void> => {
    const aside = path.join(barman.dir, `aside-${path.basename(file)}`);
    if (to === null) {
      await rename(file, aside);
      mends.push(() => rename(aside, file));
      return;
    }
    await copyFile(file, aside);
    await writeFile(file, to(await readFile(file)));
    mends.push(async () => {
      await writeFile(file, await readFile(aside));
      await rm(aside);
    });
  };
  const archived = (name: string): string => path.join(barman.home, SERVER, 'wals', name.slice(0, 16), name);
  const keepStatus = async (id: string): Promise<string> => {
    const answer = (await barman.ask('keep', '--status', SERVER, id)) as {
      main: { keep_status: { message: string } };
    };
    return answer.main.keep_status.message;
  };

  /** The transfer goes on for a moment when the target is reached; then nothing of it is left, here and at Barman. */
  const untilReleased = async (dir: string): Promise<void> => {
    const left = async (): Promise<string[]> =>
      (await readdir(dir)).filter((name) => /restoring|staging|barman-keep/.test(name));
    await pollUntil(async () => ((await left()).length === 0 ? true : null), { timeoutMs: 30_000 });
    expect(await left()).toEqual([]);
    expect(await keepStatus(backups[0]!)).toBe('nokeep');
  };

  test('the window has both backups and ends with a commit that is still in the .partial', async () => {
    const window = await windowOf();
    expect(window.bases.map(({ id, usable, why }) => [id, usable, why])).toEqual(backups.map((id) => [id, true, null]));
    expect(window.earliest).toBe(window.bases[0]!.endedAt);
    expect(window.holes).toEqual([]);
    const [row] = await source.query<{ id: string }>('select system_identifier::text as id from pg_control_system()');
    expect(window.systemIdentifier).toBe(row!.id);
    // The last statement of the scene: in no complete segment.
    expect(window.latest! > moments.last.time).toBe(true);
    const partial = (await barman.walFiles()).filter((name) => name.endsWith('.partial'));
    expect(partial).toEqual([
      `streaming/${(await source.query<{ n: string }>('select pg_walfile_name(pg_current_wal_lsn()) as n'))[0]!.n}.partial`,
    ]);
  });

  test.each(['first', 'second', 'last'] as const)(
    'a time in the stretch %s has the rows of that moment',
    async (name) => {
      const plan = await planAt(name);
      expect(plan.baseChain.map(({ id }) => id)).toEqual([name === 'last' ? backups[1] : backups[0]]);
      expect(await rowsAt(sandbox(`time-${name}`), plan)).toBe(moments[name].rows);
    },
  );

  test.each<[string, () => TargetSpec, () => number]>([
    ['xid', () => ({ kind: 'xid', value: moments.first.xid }), () => moments.first.rows],
    ['before-xid', () => ({ kind: 'before-xid', value: moments.first.xid }), () => moments.first.rows - 1],
    ['lsn', () => ({ kind: 'lsn', value: lsnAtSecond as never }), () => moments.second.rows],
    ['name', () => ({ kind: 'name', value: 'before the release' }), () => moments.second.rows],
    ['latest', () => ({ kind: 'latest' }), () => moments.last.rows],
    ['immediate', () => ({ kind: 'immediate' }), () => moments.last.rows - 1],
  ])('target %s has its rows', async (name, target, rows) => {
    expect(await rowsAt(sandbox(`target-${name}`), await scene.plan(target()))).toBe(rows());
  });

  test('the data are those of the backup: nothing of barman is left, and the mark on the backup is gone', async () => {
    const ref = sandbox('tidy');
    const plan = await planAt('first');
    await scene.recover(ref, plan);
    const { dataDir, dir } = placeOf(scene.deps.config, ref);
    const names = await readdir(dataDir);
    expect(names.filter((name) => /barman|\.origin$|backup_manifest\./.test(name))).toEqual([]);
    const auto = await readFile(path.join(dataDir, 'postgresql.auto.conf'), 'utf8');
    expect(auto).not.toMatch(/restore_command|recovery_target/);
    await untilReleased(dir);
  });

  test('a segment that is missing is a hole with its name, and a target behind it is refused', async () => {
    await change(archived(between), null);
    const { holes } = await windowOf();
    expect(holes).toMatchObject([{ firstMissing: between, lastMissing: between }]);
    await expect(planAt('second')).rejects.toMatchObject({ type: 'TargetInHole' });
  });

  test('a time behind the last commit is refused before anything is restored', async () => {
    const later = new Date(Date.now() + 3_600_000).toISOString().replace('Z', '000Z');
    await expect(scene.plan({ kind: 'time', value: later })).rejects.toMatchObject({ type: 'TargetNotRecoverable' });
  });

  test('a damaged file of a backup, which barman restores without a word, is found', async () => {
    const plan = await planAt('first');
    const dir = path.join(barman.home, SERVER, 'base', backups[0]!, 'data', 'base');
    const files = (await readdir(dir, { recursive: true })).filter((name) => /^\d+\/1249$/.test(name));
    await change(path.join(dir, files[0]!), (body) => Buffer.from(body).fill(0x55, 4000, 4064));
    await expect(scene.recover(sandbox('damaged'), plan)).rejects.toMatchObject({
      type: 'BackupCorrupt',
      message: expect.stringContaining('1249') as string,
    });
    expect(await keepStatus(backups[0]!)).toBe('nokeep');
  });

  test('a wal file that is cut is WalCorrupt and names it', async () => {
    const plan = await planAt('second');
    await change(archived(between), (body) => body.subarray(0, body.length >> 1));
    await expect(scene.recover(sandbox('cut'), plan)).rejects.toMatchObject({
      type: 'WalCorrupt',
      message: expect.stringContaining(between) as string,
    });
  });

  test('a restore that is killed is begun again in a directory of its own, and its mark is taken away at the end', async () => {
    const plan = await planAt('first');
    const ref = sandbox('killed');
    await createPrepareSandbox(scene.deps)({ ref, plan });
    const { dir } = placeOf(scene.deps.config, ref);
    const restored = createRestoreBase(scene.deps)({ ref, plan });
    restored.catch(() => undefined);
    const claim = path.join(scene.deps.jobs.directory(`${ref.runId}.restore-base`), 'claim-1');
    const begun = await pollUntil(
      () => Promise.resolve(existsSync(path.join(dir, 'base-0.restoring-1', 'PG_VERSION')) ? true : null),
      {
        timeoutMs: 30_000,
        everyMs: 1,
      },
    );
    expect(begun).toBe(true);
    const [pid, , wrapper] = (await readFile(claim, 'utf8')).split('\n').map(Number);
    process.kill(wrapper!, 'SIGKILL');
    process.kill(pid!, 'SIGKILL');
    expect(await keepStatus(backups[0]!)).toBe('full');
    await restored;
    expect(await rowsAt(ref, plan)).toBe(moments.first.rows);
    await untilReleased(dir);
  });

  test('a backup that the team keeps stays kept', async () => {
    await barman.run('keep', '--target', 'full', SERVER, backups[0]!);
    mends.push(async () => {
      await barman.run('keep', '--release', SERVER, backups[0]!);
    });
    await scene.recover(sandbox('kept'), await planAt('first'));
    expect(await keepStatus(backups[0]!)).toBe('full');
  });

  test('a server that barman does not know, and a barman that is not there, say so and are never an empty window', async () => {
    const other = await makeStoreScene(source, programs.dir, {
      kind: 'barman',
      server: 'mian',
      command: barman.command,
    });
    mends.push(() => other.remove());
    await expect(other.plan({ kind: 'latest' })).rejects.toMatchObject({ type: 'ConfigInvalid' });
    const none = await makeStoreScene(source, programs.dir, {
      kind: 'barman',
      server: SERVER,
      command: ['/none/barman'],
    });
    mends.push(() => none.remove());
    await expect(none.plan({ kind: 'latest' })).rejects.toMatchObject({ type: 'PreconditionFailed' });
    expect((await (await none.deps.store('shop')).check()).map(({ ok }) => ok)).toEqual([false, false, false]);
  });

  test('a barman of another cluster is refused before anything is written', async () => {
    const stranger = await startCluster({ binDir: source.binDir });
    const other = await makeStoreScene(stranger, programs.dir, {
      kind: 'barman',
      server: SERVER,
      command: barman.command,
    });
    mends.push(async () => {
      await other.remove();
      await stranger.destroy();
    });
    await expect(other.plan({ kind: 'latest' })).rejects.toMatchObject({ type: 'IdentityMismatch' });
    expect(await readdir(path.join(other.dir, 'sandboxes'))).toEqual([]);
    const refused = createTakeBase(other.deps)({
      environment: 'shop',
      node: 'dallas',
      run: 'r',
      runId: 'take-0000-4000-8000-000000000000',
      kind: 'full',
    });
    await expect(refused).rejects.toMatchObject({ type: 'IdentityMismatch' });
  });

  test('check is good while barman is, and names what is broken with what to run', async () => {
    const good = await store.check();
    expect(good.filter(({ ok }) => !ok)).toEqual([]);
    await barman.stopReceiving();
    mends.push(async () => {
      await store.resume('run');
    });
    const lines = await store.check();
    expect(lines.filter(({ ok }) => !ok).map(({ check }) => check)).toContain('barman:receive-wal-running');
    expect(lines.find(({ check }) => check === 'barman:receive-wal-running')!.actual).toMatch(/barman cron/);
  });

  test('resume makes a slot that is missing and starts the receiver', async () => {
    await barman.stopReceiving();
    const gone = await pollUntil(
      async () =>
        source.query("select pg_drop_replication_slot('barman')").then(
          () => true,
          () => null,
        ),
      { timeoutMs: 20_000, everyMs: 100 },
    );
    expect(gone).toBe(true);
    expect(await store.resume('run')).toMatchObject({ outcome: 'resumed' });
    const slots = await source.query('select slot_name, active from pg_replication_slots');
    expect(slots).toEqual([{ slot_name: 'barman', active: true }]);
    expect(await store.resume('run')).toMatchObject({ outcome: 'nothing-to-do' });
  });

  test('a timeline that was given up is marked once, and the window is not of it', async () => {
    expect(await store.abandonTimeline(7, 'shop/change')).toBe('marked');
    expect(await store.abandonTimeline(7, 'shop/change')).toBe('already-marked');
    mends.push(() => rm(path.join(barman.home, SERVER, 'pgr-abandoned'), { recursive: true }));
    await writeFile(path.join(barman.home, SERVER, 'wals', '00000007.history'), '1\t0/3000000\tno recovery target\n');
    mends.push(() => rm(path.join(barman.home, SERVER, 'wals', '00000007.history')));
    expect((await windowOf()).timeline).toBe(1);
  });

  test('taking a base has barman take one, and asking again for the same one takes no second', async () => {
    const input = { environment: 'shop', node: 'dallas', run: 'r', kind: 'full' } as const;
    const runId = 'base-0000-4000-8000-000000000000';
    const taken = await createTakeBase(scene.deps)({ ...input, runId });
    expect(taken).toMatchObject({ kind: 'full', timeline: 1 });
    await scene.deps.jobs.forget(`${runId}.take-base`);
    expect((await createTakeBase(scene.deps)({ ...input, runId })).id).toBe(taken.id);
    const { bases } = await windowOf();
    expect(bases.map(({ id }) => id)).toEqual([...backups, taken.id]);
  });
});
