/**
 * Scenario: a stanza as teams have it, with the newest and the oldest pgBackRest that is supported. Verified: (1) rows at T are right with each version; (2) a base that is
 * asked for twice is taken once; (3) a stopped stanza, another cluster, a wrong stanza and a missing program are refused before anything is written; (4) a promotion
 * archives its new timeline through the team's own archive-push and ends with a fresh base; (5) a timeline that was given up is marked.
 */
import { existsSync } from 'node:fs';
import { mkdir, readFile, readdir, writeFile } from 'node:fs/promises';
import path from 'node:path';

import type { BackupStore } from '../../activities/lib/backup-store.js';
import * as promotion from '../../activities/postgres/promotion/index.js';
import { pollUntil } from '../../activities/lib/poll.js';
import { createPrepareSandbox } from '../../activities/postgres/sandbox/index.js';
import { placeOf } from '../../activities/postgres/sandbox/place.js';
import { createPauseBackups } from '../../activities/backup-store/pause-backups.js';
import { buildPrograms, type Programs } from '../pg/backup-store/programs.js';
import { commit, serverTime } from '../support/archive.js';
import { makeStoreScene, type StoreScene } from '../support/barman-scene.js';
import { destroyAllClusters } from '../support/cluster.js';
import { makePgbackrestScene, STANZA, type PgbackrestScene } from '../support/pgbackrest-scene.js';
import { missingForPgbackrest, pgbackrestProgram, type Release } from '../support/pgbackrest.js';

jest.setTimeout(120_000);

/** Debian's programs of the last major that 2.45 knows. */
const POSTGRES_15 = '/usr/lib/postgresql/15/bin';

const missing = missingForPgbackrest();
const hasPostgres15 = existsSync(path.join(POSTGRES_15, 'postgres'));
if (missing !== null) console.warn(`skipped: ${missing}`);
else if (!hasPostgres15)
  console.warn('skipped with pgbackrest 2.45: it needs PostgreSQL 15 (apt-get install postgresql-15)');

const newest: [string, Release, string | undefined] = ['the newest pgbackrest', 'forky', undefined];
const oldest: [string, Release, string | undefined] = ['pgbackrest 2.45 with PostgreSQL 15', 'bookworm', POSTGRES_15];

let programs: Programs;
beforeAll(async () => {
  programs = await buildPrograms();
}, 60_000);
afterAll(async () => {
  await destroyAllClusters();
  await programs.remove();
}, 60_000);

const others: StoreScene[] = [];
afterEach(async () => {
  for (const other of others.splice(0)) await other.remove();
});

(missing === null ? describe : describe.skip).each(hasPostgres15 ? [newest, oldest] : [newest])(
  'with %s',
  (_, release, binDir) => {
    let scene: PgbackrestScene;
    let store: BackupStore;
    let full = '';
    let timeBefore = '';

    beforeAll(async () => {
      const program = await pgbackrestProgram(release);
      const conf = ['process-max=2'];
      scene = await makePgbackrestScene({
        program,
        programs: programs.dir,
        conf,
        ...(binDir === undefined ? {} : { binDir, omit: ['summarize_wal'] }),
      });
      store = scene.store;
      full = await scene.takeBase('full');
      await commit(scene.source, "insert into orders values (1001, 'kept') returning 1");
      timeBefore = await serverTime(scene.source);
      await scene.source.query("update orders set note = 'mistake'");
      await scene.switchWal();
    }, 240_000);
    afterAll(async () => {
      await scene.remove();
    });

    /** The environment with another store. */
    async function withStore(change: Record<string, unknown>): Promise<BackupStore> {
      const backups = { kind: 'pgbackrest', stanza: STANZA, command: scene.stanza.command, ...change };
      const other = await makeStoreScene(scene.source, programs.dir, backups);
      others.push(other);
      return other.deps.store('shop');
    }

    async function windowOf(of: BackupStore, live: Parameters<BackupStore['window']>[0]['live'] = null) {
      const scratchDir = await scene.temporary('pgr-scratch-');
      return of.window({ environment: 'shop', scratchDir, binDir: scene.source.binDir, live });
    }

    const takeBase = (runId: string, kind: 'full' | 'incremental') =>
      promotion.createTakeBase(scene.deps)({ environment: 'shop', node: 'dallas', run: 'shop/base', runId, kind });

    test('a base that is asked for again after the program had died is the one that was taken', async () => {
      const taken = await takeBase('again', 'incremental');
      expect(taken).toMatchObject({ kind: 'incremental', timeline: 1 });
      expect(taken.id).toMatch(/^\d{8}-\d{6}F_\d{8}-\d{6}I$/);
      await scene.deps.jobs.forget('again.take-base');
      expect((await takeBase('again', 'incremental')).id).toBe(taken.id);
      expect((await windowOf(store)).bases.map(({ id }) => id)).toEqual([full, taken.id]);
    });

    test('a base whose program dies in the middle is taken in the end, once', async () => {
      const jobDir = scene.deps.jobs.directory('killed.take-base');
      const taking = takeBase('killed', 'incremental');
      await killJob(jobDir);
      const taken = await taking;
      const marks = JSON.parse(await scene.stanza.run('info', '--output=json')) as [{ backup: { label: string }[] }];
      expect(marks[0].backup.filter(({ label }) => label === taken.id)).toHaveLength(1);
      expect((await windowOf(store)).bases.map(({ id }) => id)).toEqual([full, expect.any(String), taken.id]);
    });

    test('a stanza that somebody stopped is said, refuses a promotion and a base, and can still be restored from', async () => {
      await scene.stanza.run('stop');
      try {
        const check = await store.check();
        expect(check.filter(({ ok }) => !ok).map((line) => line.check)).toEqual(['archiving-not-stopped']);
        const pause = createPauseBackups(scene.deps)({ environment: 'shop', run: 'shop/change' });
        await expect(pause).rejects.toMatchObject({ type: 'PreconditionFailed' });
        await expect(takeBase('stopped', 'full')).rejects.toMatchObject({
          type: 'PreconditionFailed',
          message: expect.stringContaining('[062]') as string,
        });
        expect((await windowOf(store)).bases.length).toBeGreaterThan(0);
      } finally {
        await scene.stanza.run('start');
      }
      await expect(createPauseBackups(scene.deps)({ environment: 'shop', run: 'shop/change' })).resolves.toMatchObject({
        outcome: 'nothing-to-do',
      });
    });

    test('another cluster is refused, by the live primary and by the config', async () => {
      const live = { systemIdentifier: '7000000000000000001', timeline: 1, currentLsn: '0/0' as never };
      const scratchDir = await scene.temporary('pgr-scratch-');
      const request = {
        environment: 'shop',
        target: { kind: 'latest' } as const,
        scratchDir,
        binDir: scene.source.binDir,
        requestedAt: new Date().toISOString(),
      };
      await expect(store.resolveTarget({ ...request, live })).rejects.toMatchObject({ type: 'IdentityMismatch' });
      const pinned = await withStore({ systemIdentifier: '7000000000000000001' });
      await expect(windowOf(pinned)).rejects.toMatchObject({ type: 'IdentityMismatch' });
      await expect(pinned.resolveTarget({ ...request, live: null })).rejects.toMatchObject({
        type: 'IdentityMismatch',
      });
    });

    test('a wrong stanza, a wrong repository and a missing program are no empty window', async () => {
      await expect(windowOf(await withStore({ stanza: 'nope' }))).rejects.toMatchObject({
        type: 'NotFound',
        message: expect.stringContaining('no stanza nope') as string,
      });
      const elsewhere = [...scene.stanza.command, '--repo1-path=/nonexistent'];
      await expect(windowOf(await withStore({ command: elsewhere }))).rejects.toMatchObject({ type: 'NotFound' });
      await expect(windowOf(await withStore({ repo: 7 }))).rejects.toMatchObject({ type: 'ConfigInvalid' });
      await expect(windowOf(await withStore({ command: ['/nonexistent/pgbackrest'] }))).rejects.toMatchObject({
        type: 'CommandFailed',
      });
    });

    test('a repository that cannot be read is unavailable, which is not the same as empty', async () => {
      const file = path.join(scene.stanza.repoDir, 'backup', STANZA, 'backup.info');
      const garble = (): Buffer => Buffer.from('x\n');
      const mends = [await scene.harm(file, garble), await scene.harm(`${file}.copy`, garble)];
      try {
        await expect(windowOf(store)).rejects.toMatchObject({ type: 'StoreUnavailable' });
        expect((await store.check())[0]).toMatchObject({ ok: false });
      } finally {
        for (const mend of mends) await mend();
      }
    });

    test('files that were not fetched are not touched', async () => {
      const plan = await scene.plan({ kind: 'time', value: timeBefore });
      const ref = scene.ref('foreign');
      const { dir } = placeOf(scene.deps.config, ref);
      try {
        await createPrepareSandbox(scene.deps)({ ref, plan });
        await mkdir(path.join(dir, 'base-0'));
        await writeFile(path.join(dir, 'base-0', 'precious'), 'x');
        await expect(scene.recover(ref, plan)).rejects.toMatchObject({ type: 'SandboxNotOurs' });
        expect(await readdir(path.join(dir, 'base-0'))).toEqual(['precious']);
      } finally {
        await scene.discard(ref);
      }
    });

    test('a promotion archives its new timeline with the own archive-push of the team and ends with a base of it', async () => {
      const plan = await scene.plan({ kind: 'time', value: timeBefore });
      const ref = scene.ref('promoted');
      const port = await scene.recover(ref, plan);
      expect(await scene.query(port, "select count(*)::int as all from orders where note <> 'mistake'")).toEqual([
        { all: 1001 },
      ]);
      const { deps, source } = scene;
      const { systemIdentifier } = plan;
      const step = {
        environment: 'shop',
        node: 'dallas',
        run: 'shop/change',
        runId: 'cccccccc-3333',
        expect: { systemIdentifier, dataDir: source.dataDir, host: 'here' },
      };
      await promotion.createCaptureTail(deps)(step);
      await createPauseBackups(deps)({ environment: 'shop', run: 'shop/change' });
      await promotion.createFenceNode(deps)(step);
      await promotion.createKeepOldData(deps)(step);
      await promotion.createSwapIn(deps)({ ...step, ref });
      const ended = await promotion.createEndRecovery(deps)({ ...step, ref, plan });
      expect(ended).toMatchObject({ outcome: 'promoted', timeline: 2 });
      await promotion.createStartNode(deps)(step);
      const rebaseline = await promotion.createRebaseline(deps)(step);
      expect(rebaseline).toMatchObject({ timeline: 2, archivedSegment: expect.stringMatching(/^00000002/) as string });
      expect(await source.query("select count(*)::int as all from orders where note <> 'mistake'")).toEqual([
        { all: 1001 },
      ]);
      expect(await store.walPresence('00000002.history')).toBe('found');
      const window = await windowOf(store);
      expect(window.timeline).toBe(2);
      expect(window.bases.find(({ id }) => id === rebaseline.baseId)).toMatchObject({ usable: true, timeline: 2 });
      // What was archived before T can still be reached along the new line of timelines; the base that was taken behind T is of the history that was left.
      expect(window.bases.map(({ id, usable }) => [id, usable])).toEqual([
        [full, true],
        [expect.stringMatching(/I$/) as string, false],
        [expect.stringMatching(/I$/) as string, false],
        [rebaseline.baseId, true],
      ]);
    });

    test('a timeline that was given up is marked once, and not taken for production', async () => {
      expect(await store.abandonTimeline(2, 'shop/undo')).toBe('marked');
      expect(await store.abandonTimeline(2, 'shop/undo')).toBe('already-marked');
      expect((await windowOf(store)).timeline).toBe(1);
    });

    test('a base with a tablespace is refused when the plan is made, with its name', async () => {
      const place = await scene.temporary('pgr-tablespace-');
      await scene.source.query(`create tablespace extra location '${place}'`);
      await scene.takeBase('full');
      await expect(scene.plan({ kind: 'immediate' })).rejects.toMatchObject({
        type: 'PreconditionFailed',
        message: expect.stringContaining('extra') as string,
      });
    });
  },
);

/** Kills the program of a job, and the wrapper that would note its end, as soon as it reports progress. */
async function killJob(jobDir: string): Promise<void> {
  const text = (file: string): Promise<string> => readFile(file, 'utf8').catch(() => '');
  const killed = await pollUntil(
    async () => {
      if ((await text(path.join(jobDir, 'progress'))) === '') return null;
      const [pid, , wrapper] = (await text(path.join(jobDir, 'claim-1'))).split('\n').map(Number);
      process.kill(wrapper!, 'SIGKILL');
      process.kill(pid!, 'SIGKILL');
      return true;
    },
    { timeoutMs: 30_000, everyMs: 2 },
  );
  if (killed === null) throw new Error('the program ended before it could be killed');
}
