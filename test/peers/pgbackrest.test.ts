/**
 * Scenario: a server archives with the real pgBackRest into an encrypted repository, which takes a full, a differential and an incremental base; pgr restores through
 * pgBackRest. Verified: (1) the window is what was made; (2) the rows at T are right from every form of base and for every kind of target; (3) missing WAL, damaged
 * WAL and damaged bases are typed failures and never a cluster; (4) a killed restore goes on; (5) nothing of a team's configuration leads a restore out of its
 * directory; (6) a stopped stanza, another cluster and a wrong name are refused; (7) a base is taken once.
 */
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import path from 'node:path';

import type { BackupStore } from '../../activities/lib/backup-store.js';
import type { RecoveryPlan } from '../../shared/contracts/plan.js';
import type { SandboxRef } from '../../shared/contracts/sandbox.js';
import { pollUntil } from '../../activities/lib/poll.js';
import { createPrepareSandbox, createRestoreBase } from '../../activities/postgres/sandbox/index.js';
import { placeOf } from '../../activities/postgres/sandbox/place.js';
import { parseLsn } from '../../shared/lsn.js';
import { buildPrograms, type Programs } from '../pg/backup-store/programs.js';
import { commit, currentLsn, serverTime } from '../support/archive.js';
import { destroyAllClusters, type Cluster } from '../support/cluster.js';
import { makePgbackrestScene, STANZA, type PgbackrestScene } from '../support/pgbackrest-scene.js';
import { missingForPgbackrest, pgbackrestProgram, type TestStanza } from '../support/pgbackrest.js';

jest.setTimeout(120_000);

type Kind = 'full' | 'diff' | 'incr';
const KINDS: readonly Kind[] = ['full', 'diff', 'incr'];

const missing = missingForPgbackrest();
if (missing !== null) console.warn(`skipped: ${missing}`);

(missing === null ? describe : describe.skip)(
  'an encrypted stanza with full, differential and incremental bases',
  () => {
    let programs: Programs;
    let source: Cluster;
    let stanza: TestStanza;
    let scene: PgbackrestScene;
    let store: BackupStore;
    /** Bases in the order in which they were taken, and times at which the number of rows is known. */
    const bases = { full: '', diff: '', incr: '' };
    const times = { full: '', diff: '', incr: '' };
    const rows = { full: 1001, diff: 1002, incr: 1003 };
    const mistake = { xid: '', lsn: '' };
    let segmentBetween = '';
    /** A time in that segment, between two commits. */
    let timeBetween = '';

    /** One row more, a time at which it is there and the mistake that follows is not. */
    async function stepAndMistake(base: Kind): Promise<void> {
      await commit(source, `insert into orders select max(id) + 1, 'after ${base}' from orders returning 1`);
      times[base] = await serverTime(source);
      mistake.lsn = await currentLsn(source);
      mistake.xid = (await commit(source, "update orders set note = 'mistake' returning 1")).xid;
      await source.query("update orders set note = 'mended'");
      await scene.switchWal();
    }

    beforeAll(async () => {
      programs = await buildPrograms();
      scene = await makePgbackrestScene({
        program: await pgbackrestProgram('forky'),
        programs: programs.dir,
        conf: [
          'compress-type=zst',
          // A file that cannot be restored is tried again after 15 s otherwise.
          'job-retry-interval=1',
          'repo1-bundle=y',
          'repo1-block=y',
          'repo1-cipher-type=aes-256-cbc',
          'repo1-cipher-pass=not-a-real-secret',
          // What teams have in there for restores of their own, and which must not reach ours.
          '[global:restore]',
          'link-all=y',
          'archive-mode=off',
          'delta=y',
          'recovery-option=primary_conninfo=host=production',
        ],
      });
      ({ source, stanza, store } = scene);
      await source.query('create table orders_log (what text)');
      await source.query(
        'create table noise as select g as id, md5(g::text) as text from generate_series(1, 300000) g',
      );
      bases.full = await scene.takeBase('full');
      await stepAndMistake('full');
      await commit(source, "insert into orders_log values ('between') returning 1");
      timeBetween = await serverTime(source);
      await source.query("insert into orders_log values ('after')");
      segmentBetween = await scene.switchWal();
      await source.query("update noise set text = 'changed' where id % 1000 = 0");
      bases.diff = await scene.takeBase('diff');
      await stepAndMistake('diff');
      await source.query("select pg_create_restore_point('before incr')");
      bases.incr = await scene.takeBase('incr');
      await stepAndMistake('incr');
    }, 240_000);

    const opened: SandboxRef[] = [];
    const mends: (() => Promise<void>)[] = [];

    afterEach(async () => {
      for (const ref of opened.splice(0)) await scene.discard(ref).catch(() => undefined);
      for (const mend of mends.splice(0).reverse()) await mend();
    });
    afterAll(async () => {
      await destroyAllClusters();
      await scene.remove();
      await programs.remove();
    }, 60_000);

    function sandbox(name: string): SandboxRef {
      const ref = scene.ref(name);
      opened.push(ref);
      return ref;
    }

    async function windowOf(): ReturnType<BackupStore['window']> {
      const scratchDir = await scene.temporary('pgr-scratch-');
      return store.window({ environment: 'shop', scratchDir, binDir: source.binDir, live: null });
    }

    const planAt = (base: Kind): Promise<RecoveryPlan> => scene.plan({ kind: 'time', value: times[base] });

    async function orders(port: number): Promise<{ all: number; wrong: number }> {
      const [row] = await scene.query<{ all: number; wrong: number }>(
        port,
        "select count(*)::int as all, count(*) filter (where note = 'mistake')::int as wrong from orders",
      );
      return row!;
    }

    /** Until the end of the test. */
    async function harm(file: string, change: ((content: Buffer) => Buffer) | null): Promise<void> {
      mends.push(await scene.harm(file, change));
    }

    const flipped = (content: Buffer): Buffer =>
      Buffer.from(content).fill(0x55, content.length >> 1, (content.length >> 1) + 64);

    test('the window has the bases that were taken and ends with the last archived commit', async () => {
      const window = await windowOf();
      expect(window.bases.map(({ id, usable, why }) => [id, usable, why])).toEqual(
        KINDS.map((kind) => [bases[kind], true, null]),
      );
      expect(window.systemIdentifier).toMatch(/^\d{19}$/);
      expect(window.earliest).toBe(window.bases[0]!.endedAt);
      expect(window.latest! > times.incr).toBe(true);
      expect(window.holes).toEqual([]);
      expect(window.warnings).toEqual([]);
      const check = await store.check();
      expect(check.filter(({ ok }) => !ok)).toEqual([]);
    });

    test.each(KINDS)('rows at T are right from a base that is %s', async (kind) => {
      const plan = await planAt(kind);
      expect(plan.baseChain.map(({ id }) => id)).toEqual([bases[kind]]);
      const ref = sandbox(`rows-${kind}`);
      const port = await scene.recover(ref, plan);
      expect(await orders(port)).toEqual({ all: rows[kind], wrong: 0 });
      const { dataDir } = placeOf(scene.deps.config, ref);
      const settings = await readFile(path.join(dataDir, 'postgresql.auto.conf'), 'utf8');
      expect(settings).not.toMatch(/archive_mode|primary_conninfo|restore_command/);
    });

    test.each([
      [
        'before the mistake of a transaction',
        () => ({ kind: 'before-xid', value: mistake.xid }) as const,
        rows.incr,
        0,
      ],
      ['after it', () => ({ kind: 'xid', value: mistake.xid }) as const, rows.incr, rows.incr],
      ['at a position', () => ({ kind: 'lsn', value: parseLsn(mistake.lsn)! }) as const, rows.incr, 0],
      ['at a name', () => ({ kind: 'name', value: 'before incr' }) as const, rows.diff, 0],
      ['at the latest commit', () => ({ kind: 'latest' }) as const, rows.incr, 0],
      ['as soon as it is consistent', () => ({ kind: 'immediate' }) as const, rows.diff, 0],
    ])('rows are right %s', async (_, target, all, wrong) => {
      const ref = sandbox(`kind-${target().kind}`);
      const port = await scene.recover(ref, await scene.plan(target()));
      expect(await orders(port)).toEqual({ all, wrong });
    });

    test('a sandbox gets the settings that its base needs when nobody else knows them', async () => {
      const plan = await planAt('full');
      const minimumSettings = { ...plan.minimumSettings, maxConnections: 100 };
      const port = await scene.recover(sandbox('settings'), { ...plan, minimumSettings });
      expect(await scene.query(port, "select current_setting('max_connections') as max")).toEqual([{ max: '150' }]);
    });

    test('a segment that is missing is a hole with its name, and a target in it is refused', async () => {
      await harm(scene.walFile(segmentBetween), null);
      const { holes } = await windowOf();
      expect(holes).toMatchObject([{ firstMissing: segmentBetween, lastMissing: segmentBetween }]);
      await expect(scene.plan({ kind: 'time', value: timeBetween })).rejects.toMatchObject({ type: 'TargetInHole' });
    });

    test('a segment that went missing after the plan is named before anything large is fetched', async () => {
      const plan = await planAt('full');
      await harm(scene.walFile(plan.fetch.lastSegment), null);
      await expect(scene.recover(sandbox('gone'), plan)).rejects.toMatchObject({
        type: 'TargetInHole',
        message: expect.stringContaining(plan.fetch.lastSegment) as string,
      });
    });

    test('a segment with other bytes than were archived is WalCorrupt and names it', async () => {
      const plan = await planAt('full');
      await harm(scene.walFile(plan.fetch.firstSegment), flipped);
      await expect(scene.recover(sandbox('bad-wal'), plan)).rejects.toMatchObject({
        type: 'WalCorrupt',
        message: expect.stringContaining(plan.fetch.firstSegment) as string,
      });
    });

    test('a target after the last archived commit is refused when nobody can archive more', async () => {
      const value = new Date(Date.now() - 500).toISOString();
      const scratchDir = await scene.temporary('pgr-scratch-');
      await expect(
        store.resolveTarget({
          environment: 'shop',
          target: { kind: 'time', value },
          scratchDir,
          binDir: source.binDir,
          live: null,
          requestedAt: new Date().toISOString(),
        }),
      ).rejects.toMatchObject({ type: 'TargetNotRecoverable' });
    });

    test.each([
      ['with other bytes', flipped],
      ['that is cut', (content: Buffer) => content.subarray(0, content.length - 5000)],
      ['that is gone', null],
    ])('a base with a file %s is BackupCorrupt and is never started', async (name, change) => {
      const plan = await planAt('full');
      await harm(path.join(stanza.repoDir, 'backup', STANZA, bases.full, 'bundle', '1'), change);
      const ref = sandbox(`bad-${name.replaceAll(' ', '-')}`);
      const error: unknown = await scene.recover(ref, plan).then(
        () => null,
        (failure: unknown) => failure,
      );
      expect(error).toMatchObject({ type: 'BackupCorrupt', message: expect.stringContaining(bases.full) as string });
      expect(existsSync(placeOf(scene.deps.config, ref).dataDir)).toBe(false);
    });

    test('a restore that is killed in the middle goes on, and the cluster is whole', async () => {
      const plan = await planAt('full');
      const ref = sandbox('killed');
      await createPrepareSandbox(scene.deps)({ ref, plan });
      const jobDir = scene.deps.jobs.directory(`${ref.runId}.restore-base`);
      const restored = createRestoreBase(scene.deps)({ ref, plan });
      await killAt(jobDir, plan.fetch.baseBytes / 4);
      // Whoever waits for the transfer sees that it died, and starts it again.
      await restored;
      const port = await scene.recover(ref, plan);
      expect(await orders(port)).toEqual({ all: rows.full, wrong: 0 });
      expect(await scene.query(port, 'select count(*)::int as all from noise')).toEqual([{ all: 300_000 }]);
    });

    /** Kills the program of a job, and the wrapper that would note its end, when it has done so many bytes. */
    async function killAt(jobDir: string, bytes: number): Promise<void> {
      const text = (file: string): Promise<string> => readFile(file, 'utf8').catch(() => '');
      const killed = await pollUntil(
        async () => {
          const progress = await text(path.join(jobDir, 'progress'));
          if (progress === '' || (JSON.parse(progress) as { done: number }).done < bytes) return null;
          const [pid, , wrapper] = (await text(path.join(jobDir, 'claim-1'))).split('\n').map(Number);
          process.kill(wrapper!, 'SIGKILL');
          process.kill(pid!, 'SIGKILL');
          return true;
        },
        { timeoutMs: 30_000, everyMs: 5 },
      );
      if (killed === null) throw new Error('the transfer ended before it could be killed');
    }
  },
);
