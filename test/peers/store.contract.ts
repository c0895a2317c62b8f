/**
 * What every backup store must do, whatever made its backups: the same history, the same targets, the same damage. A store comes with an adapter that says how
 * its server archives, how a base is taken and how its files are harmed; everything else is the product's own code on real parts.
 *
 * Verified: (1) the window is the truth; (2) rows at T are right in each interval of bases and for each kind of target; (3) holes, damage and targets out of reach
 * are typed failures with a next step; (4) a store of another system is refused before anything is written; (5) a transfer that was killed is taken up again;
 * (6) pausing and resuming twice is once, or is refused with the reason.
 */
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import path from 'node:path';

import type { BackupStore } from '../../activities/lib/backup-store.js';
import { pollUntil } from '../../activities/lib/poll.js';
import { createPrepareSandbox, createRestoreBase } from '../../activities/postgres/sandbox/index.js';
import { readPostmaster } from '../../activities/postgres/postmaster.js';
import { placeOf } from '../../activities/postgres/sandbox/place.js';
import type { RecoveryPlan } from '../../shared/contracts/plan.js';
import type { SandboxRef } from '../../shared/contracts/sandbox.js';
import type { TargetSpec } from '../../shared/target-time.js';
import { commit, currentLsn } from '../support/archive.js';
import { makeStoreScene, type StoreScene } from '../support/barman-scene.js';
import { destroyAllClusters, serverDirectory, startCluster, type Cluster } from '../support/cluster.js';

/** Puts back what was harmed. */
type Mend = () => Promise<void>;

export type StoreAdapter = {
  /** Server programs of the major under test; those of the newest when left out. */
  binDir?: string;
  /** The server that archives into the store, with a table space for nothing but its own data. */
  startSource(conf: readonly string[]): Promise<Cluster>;
  /** `backups` of the config, and the directory of our programs as single files. */
  backups(): unknown;
  programs: string;
  /** Takes a base of the running server; returns its id. */
  takeBase(source: Cluster): Promise<string>;
  /** Ends the current segment so that it reaches the store; returns its name. */
  switchWal?(source: Cluster): Promise<string>;
  /** A segment is taken away, or its stored form changed. */
  harmWal(name: string, change: ((content: Buffer) => Buffer) | null): Promise<Mend>;
  /** The stored form of a base is changed where its data is. */
  harmBase(id: string): Promise<Mend>;
  destroy(): Promise<void>;
};

type Moment = { time: string; xid: string; rows: number };

const RESTORE_POINT = 'before the release';

/** Runs the contract. `make` is called once, before everything. */
export function storeContract(title: string, make: () => Promise<StoreAdapter>): void {
  describe(title, () => {
    let adapter: StoreAdapter;
    let source: Cluster;
    let scene: StoreScene;
    let store: BackupStore;
    const bases: string[] = [];
    const moments: Moment[] = [];
    let segmentBetween = '';
    let lsn = { at: '', rows: 0 };
    let named = 0;
    const opened: SandboxRef[] = [];
    const mends: Mend[] = [];

    const count = async (): Promise<number> =>
      (await source.query<{ all: number }>('select count(*)::int as all from orders'))[0]!.all;

    /** One row that is kept, and the mistake that follows. */
    async function moment(): Promise<void> {
      const { xid, after } = await commit(source, "insert into orders (note) values ('kept') returning 1");
      moments.push({ time: after, xid, rows: await count() });
      await source.query("update orders set note = 'mistake'");
      await source.query("insert into orders (note) values ('mistake')");
    }

    async function switchWal(): Promise<string> {
      if (adapter.switchWal !== undefined) return adapter.switchWal(source);
      const [row] = await source.query<{ name: string }>('select pg_walfile_name(pg_switch_wal() - 1) as name');
      const there = await pollUntil(async () => ((await store.walPresence(row!.name)) === 'found' ? true : null), {
        timeoutMs: 60_000,
      });
      if (there === null) throw new Error(`${row!.name} did not reach the store`);
      return row!.name;
    }

    beforeAll(async () => {
      adapter = await make();
      source = await adapter.startSource(['max_connections = 150', 'autovacuum = off']);
      scene = await makeStoreScene(source, adapter.programs, adapter.backups());
      store = await scene.deps.store('shop');
      await source.query('create table orders (id serial primary key, note text)');
      await source.query("insert into orders (note) select 'order' from generate_series(1, 1000)");
      // Large enough that a transfer is under way for a moment.
      await source.query(
        'create table bulk as select g, repeat(md5(g::text), 30) as text from generate_series(1, 40000) g',
      );
      bases.push(await adapter.takeBase(source));
      await moment();
      segmentBetween = await switchWal();
      await moment();
      await source.query(`select pg_create_restore_point('${RESTORE_POINT}')`);
      named = await count();
      await source.query("insert into orders (note) values ('after the release')");
      lsn = { at: await currentLsn(source), rows: await count() };
      await source.query("insert into orders (note) values ('after the lsn')");
      await switchWal();
      bases.push(await adapter.takeBase(source));
      await moment();
      await switchWal();
    }, 300_000);

    afterEach(async () => {
      for (const ref of opened.splice(0)) await scene.discard(ref).catch(() => undefined);
      for (const mend of mends.splice(0).reverse()) await mend();
    }, 60_000);
    afterAll(async () => {
      await scene.remove();
      await adapter.destroy();
      await destroyAllClusters();
    }, 120_000);

    function sandbox(name: string): SandboxRef {
      const ref = scene.ref(name);
      opened.push(ref);
      return ref;
    }

    async function windowOf(): ReturnType<BackupStore['window']> {
      const scratchDir = await serverDirectory('pgr-scratch-');
      return store.window({ environment: 'shop', scratchDir, binDir: source.binDir, live: null });
    }

    const planAt = (at: Moment): Promise<RecoveryPlan> => scene.plan({ kind: 'time', value: at.time });

    async function rowsAt(name: string, target: TargetSpec): Promise<number> {
      const port = await scene.recover(sandbox(name), await scene.plan(target));
      const [row] = await scene.query<{ all: number }>(port, 'select count(*)::int as all from orders');
      return row!.all;
    }

    /** Nothing runs where a recovery failed. */
    async function expectNoServer(ref: SandboxRef): Promise<void> {
      expect((await readPostmaster(placeOf(scene.deps.config, ref).dataDir)).state).toBe('stopped');
    }

    test('the window reaches from the end of the first base to the last commit, without holes', async () => {
      const window = await windowOf();
      const usable = window.bases.filter((base) => base.usable).map(({ id }) => id);
      expect(usable).toEqual(bases);
      expect(window.earliest! <= moments[0]!.time).toBe(true);
      expect(window.latest! > moments[2]!.time).toBe(true);
      expect(window.holes).toEqual([]);
    }, 60_000);

    test.each([
      ['behind the first base', 0],
      ['a segment later', 1],
      ['behind the second base', 2],
    ])(
      'a time %s: exactly the rows of that moment',
      async (_where, at) => {
        const { time, rows } = moments[at]!;
        expect(await rowsAt(`time-${String(at)}`, { kind: 'time', value: time })).toBe(rows);
      },
      120_000,
    );

    test.each([
      ['a transaction', () => ({ kind: 'xid', value: moments[1]!.xid }) as const, () => moments[1]!.rows],
      [
        'the moment before a transaction',
        () => ({ kind: 'before-xid', value: moments[1]!.xid }) as const,
        () => moments[1]!.rows - 1,
      ],
      ['a position', () => ({ kind: 'lsn', value: lsn.at }) as TargetSpec, () => lsn.rows],
      ['a named restore point', () => ({ kind: 'name', value: RESTORE_POINT }) as const, () => named],
      ['the end of the archive', () => ({ kind: 'latest' }) as const, () => moments[2]!.rows + 1],
      ['the newest base itself', () => ({ kind: 'immediate' }) as const, () => moments[2]!.rows - 1],
    ])(
      '%s: exactly the rows of then',
      async (name, target, rows) => {
        expect(await rowsAt(name.replaceAll(' ', '-'), target())).toBe(rows());
      },
      120_000,
    );

    test('a segment that is missing is a hole with its name, and what lies behind it is refused', async () => {
      mends.push(await adapter.harmWal(segmentBetween, null));
      const { holes, bases: known } = await windowOf();
      expect(holes).toMatchObject([{ firstMissing: segmentBetween, lastMissing: segmentBetween }]);
      // Nothing was committed between the end of the first base and the segment that is missing.
      expect(holes[0]).toMatchObject({ from: known[0]!.endedAt, to: known[1]!.endedAt });
      await expect(planAt(moments[1]!)).rejects.toMatchObject({
        type: 'TargetInHole',
        message: expect.stringContaining(segmentBetween) as string,
        details: [
          {
            hint: expect.stringContaining('choose ') as string,
            next: expect.arrayContaining(['pgr window shop']) as string[],
          },
        ],
      });
      // Behind the next base everything can be reached.
      await expect(planAt(moments[2]!)).resolves.toMatchObject({ baseChain: [{ id: bases[1] }] });
    }, 120_000);

    test.each([
      ['cut', (content: Buffer) => content.subarray(0, content.length >> 1)],
      ['empty', () => Buffer.alloc(0)],
    ])(
      'a segment that is %s is found, named, and nothing is promoted',
      async (name, change) => {
        const plan = await planAt(moments[1]!);
        mends.push(await adapter.harmWal(segmentBetween, change));
        const ref = sandbox(`wal-${name}`);
        await expect(scene.recover(ref, plan)).rejects.toMatchObject({
          type: expect.stringMatching(/^(WalCorrupt|TargetInHole)$/) as string,
          message: expect.stringContaining(segmentBetween) as string,
        });
      },
      120_000,
    );

    test('a base that was changed is found before a server starts from it', async () => {
      const plan = await planAt(moments[2]!);
      mends.push(await adapter.harmBase(bases[1]!));
      const ref = sandbox('bad-base');
      await expect(scene.recover(ref, plan)).rejects.toMatchObject({ type: 'BackupCorrupt' });
      await expectNoServer(ref);
    }, 120_000);

    test('a target behind the end of history, or before the first base, is refused with what can be reached', async () => {
      const [row] = await source.query<{ later: string }>(
        `select to_char((clock_timestamp() + interval '1 hour') at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as later`,
      );
      for (const value of [row!.later, '2020-01-01T00:00:00.000000Z']) {
        await expect(scene.plan({ kind: 'time', value })).rejects.toMatchObject({
          type: 'TargetNotRecoverable',
          message: expect.stringMatching(/\d{4}-\d\d-\d\dT|future/) as string,
        });
      }
    }, 120_000);

    test('a store of another system is refused, and nothing is written', async () => {
      const other = await startCluster({ binDir: source.binDir });
      const elsewhere = await makeStoreScene(other, adapter.programs, adapter.backups());
      try {
        await expect(elsewhere.plan({ kind: 'time', value: moments[2]!.time })).rejects.toMatchObject({
          type: 'IdentityMismatch',
        });
        expect(existsSync(path.join(elsewhere.dir, 'sandboxes', 'any'))).toBe(false);
      } finally {
        await elsewhere.remove();
        await other.destroy();
      }
    }, 120_000);

    test('a transfer that is killed in the middle is taken up again', async () => {
      const plan = await planAt(moments[2]!);
      const ref = sandbox('killed');
      await createPrepareSandbox(scene.deps)({ ref, plan });
      const restored = createRestoreBase(scene.deps)({ ref, plan });
      await killJob(scene.deps.jobs.directory(`${ref.runId}.restore-base`));
      await restored;
      const port = await scene.recover(ref, plan);
      expect(await scene.query(port, 'select count(*)::int as all from orders')).toEqual([{ all: moments[2]!.rows }]);
      expect(await scene.query(port, 'select count(*)::int as all from bulk')).toEqual([{ all: 40_000 }]);
    }, 180_000);

    test('pausing and resuming twice is once; what the store does not do is refused with the reason', async () => {
      const attempt = (work: () => Promise<{ outcome: string }>): Promise<string> =>
        work().then(
          ({ outcome }) => outcome,
          (error: unknown) => (error as { type?: string }).type ?? 'untyped',
        );
      const paused = [await attempt(() => store.pause('shop/change')), await attempt(() => store.pause('shop/change'))];
      const resumed = [
        await attempt(() => store.resume('shop/change')),
        await attempt(() => store.resume('shop/change')),
      ];
      if (store.takesBases) {
        expect(['paused', 'nothing-to-do']).toContain(paused[0]);
        expect(resumed[1]).toBe('nothing-to-do');
      } else {
        expect(paused[0]).toMatch(/^(NotAllowed|PreconditionFailed)$/);
        expect(resumed).toEqual(['nothing-to-do', 'nothing-to-do']);
      }
      const segment = await switchWal();
      expect(await store.walPresence(segment)).toBe('found');
    }, 180_000);
  });
}

/** Kills the program of a job and the wrapper that would note its end, as soon as it is there. */
async function killJob(jobDir: string): Promise<void> {
  const killed = await pollUntil(
    async () => {
      const claim = await readFile(path.join(jobDir, 'claim-1'), 'utf8').catch(() => '');
      const [pid, , wrapper] = claim.split('\n').map(Number);
      if (!Number.isInteger(pid) || !Number.isInteger(wrapper) || pid === 0 || wrapper === 0) return null;
      process.kill(wrapper!, 'SIGKILL');
      process.kill(pid!, 'SIGKILL');
      return true;
    },
    { timeoutMs: 30_000, everyMs: 2 },
  );
  if (killed === null) throw new Error('the transfer did not begin');
  expect(existsSync(path.join(jobDir, 'result.json'))).toBe(false);
}
