/**
 * Scenario: a standby is rebuilt on a real pair, its data renamed aside. Verified: (1) it streams again with its own configuration and the rows of the primary;
 * (2) the safety copy is unchanged, listed, and comes back; (3) nothing happens twice; (4) the password is in a private file only.
 */
import { readdir, readFile, rm } from 'node:fs/promises';
import path from 'node:path';

import { keptDataDirFor, shortRunId } from '../../../shared/ids.js';
import { directoryChecksums } from '../../support/checksums.js';
import { destroyAllClusters } from '../../support/cluster.js';
import { waitFor } from '../../support/promotion-scene.js';
import { destroyRebuildScenes, isPrivate, makeRebuildScene } from '../../support/rebuild-scene.js';

jest.setTimeout(240_000);
afterEach(destroyRebuildScenes);
afterAll(destroyAllClusters);

const RUN = '01999999-1111-7000';

test('a standby is copied anew; every step done twice does nothing the second time', async () => {
  const scene = await makeRebuildScene();
  const { activities, chicago, dallas } = scene;
  const plan = await scene.plan('chicago', RUN);
  expect(plan).toMatchObject({
    method: 'basebackup',
    why: expect.stringContaining('timeline 1') as string,
    from: { name: 'dallas' },
    safetyCopy: { provider: 'directory', name: keptDataDirFor(chicago.dataDir, RUN) },
  });
  expect(plan.copyBytes).toBeGreaterThan(1_000_000);
  expect(plan.checks.every((check) => check.ok)).toBe(true);
  const step = scene.step(plan, RUN);
  await expect(activities.copyStandby(step)).rejects.toMatchObject({ type: 'PreconditionFailed' });
  await expect(activities.takeSafetyCopy(step)).rejects.toMatchObject({ type: 'PreconditionFailed' });
  expect((await activities.stopStandby(step)).outcome).toBe('stopped');
  expect((await activities.stopStandby(step)).outcome).toBe('already-stopped');
  await expect(activities.copyStandby(step)).rejects.toMatchObject({ type: 'SafetyCopyMissing' });
  const old = await directoryChecksums(chicago.dataDir);
  const taken = await activities.takeSafetyCopy(step);
  expect(taken).toMatchObject({ outcome: 'taken', copy: { verified: true, run: 'lab/change', node: 'chicago' } });
  expect((await activities.takeSafetyCopy(step)).outcome).toBe('already-taken');
  const copied = await activities.copyStandby(step);
  expect(copied).toMatchObject({ outcome: 'copied', method: 'basebackup' });
  expect((await activities.copyStandby(step)).outcome).toBe('already-copied');
  await dallas.query("insert into orders select g, 'during' from generate_series(5001, 5010) g");
  const started = await activities.startStandby(step);
  expect(started).toMatchObject({ timeline: 1 });
  expect(started.checks.map((check) => [check.check, check.ok])).toEqual([
    ['role', true],
    ['timeline', true],
    ['slot', true],
    ['stream', true],
  ]);
  await activities.startStandby(step);
  await waitFor(async () => (await chicago.query('select count(*)::int n from orders'))[0]?.['n'] === 1010);
  expect(await readFile(path.join(chicago.dataDir, 'postgresql.conf'), 'utf8')).toContain('# of chicago');
  const auto = path.join(chicago.dataDir, 'postgresql.auto.conf');
  expect(await readFile(auto, 'utf8')).toContain('sesame');
  expect(await isPrivate(auto)).toBe(true);
  expect(await allTextBelow(path.join(scene.dir, 'state'))).not.toContain('sesame');
  expect(await directoryChecksums(plan.safetyCopy.name)).toEqual(old);

  const { copies } = await activities.listSafetyCopies({ environment: 'lab', node: 'chicago' });
  expect(copies).toHaveLength(1);
  expect(copies[0]?.bytes).toBeGreaterThan(1_000_000);
  const prune = { environment: 'lab', host: 'chicago', names: [plan.safetyCopy.name], run: 'lab/prune' };
  await expect(activities.pruneSafetyCopies(prune)).resolves.toMatchObject({
    removed: [],
    kept: [{ why: expect.stringContaining('newest verified') as string }],
  });

  await activities.stopStandby(step);
  const undone = `${chicago.dataDir}.undone-${shortRunId(RUN)}`;
  await expect(activities.returnSafetyCopy(step)).resolves.toEqual({ outcome: 'returned', setAside: undone });
  await expect(activities.returnSafetyCopy(step)).resolves.toEqual({ outcome: 'already-there', setAside: undone });
  expect(await directoryChecksums(chicago.dataDir)).toEqual(old);
  await activities.startStandby(step);
  await expect(dallas.query('select count(*)::int n from pg_stat_replication')).resolves.toEqual([{ n: 1 }]);
});

test.each(['fast', 'immediate'] as const)(
  'an old primary (stopped %s) with commits of its own is rewound on a copy of its data and follows the new one',
  async (mode) => {
    const scene = await makeRebuildScene();
    const { activities, dallas, chicago } = scene;
    await scene.splitAndStop(mode);
    const plan = await scene.plan('dallas', RUN);
    expect(plan).toMatchObject({ method: 'rewind', fallback: 'basebackup', from: { name: 'chicago' } });
    expect(plan.why).toContain(mode === 'fast' ? 'pg_rewind --dry-run' : 'not shut down in order');
    const step = scene.step(plan, RUN);
    expect((await activities.stopStandby(step)).outcome).toBe('already-stopped');
    await activities.takeSafetyCopy(step);
    const old = await directoryChecksums(plan.safetyCopy.name);
    await expect(activities.copyStandby(step)).resolves.toMatchObject({ outcome: 'copied', method: 'rewind' });
    await activities.startStandby(step);
    const rows = 'select count(*)::int n, count(*) filter (where note = $$only dallas$$)::int own from orders';
    await waitFor(async () => (await dallas.query(rows))[0]?.['n'] === 1100);
    await expect(dallas.query(rows)).resolves.toEqual([{ n: 1100, own: 0 }]);
    await expect(chicago.query(rows)).resolves.toEqual([{ n: 1100, own: 0 }]);
    expect(await directoryChecksums(plan.safetyCopy.name)).toEqual(old);
    expect(await readFile(path.join(dallas.dataDir, 'postgresql.conf'), 'utf8')).toContain('# of dallas');
    expect(await isPrivate(path.join(dallas.dataDir, 'postgresql.auto.conf'))).toBe(true);
    // Put back, it is an old primary: nobody starts it as a standby.
    await activities.stopStandby(step);
    await expect(activities.returnSafetyCopy(step)).resolves.toMatchObject({ outcome: 'returned' });
    await expect(activities.startStandby(step)).rejects.toMatchObject({
      type: 'PreconditionFailed',
      message: expect.stringContaining('standby.signal') as string,
    });
  },
);

test('where the peer has recycled the WAL behind its promotion a rewind leads nowhere: everything is copied, or the reason is said', async () => {
  const scene = await makeRebuildScene();
  const { activities, dallas, chicago } = scene;
  await scene.splitAndStop('fast');
  const [first] = await chicago.query<{ name: string }>(
    "select min(n) as name from pg_ls_dir('pg_wal') n where n ~ '^00000002.{16}$'",
  );
  await waitFor(async () => {
    await chicago.query("create table if not exists filler (t text); insert into filler values ('x')");
    await chicago.query('select pg_switch_wal()');
    await chicago.query('checkpoint');
    const [row] = await chicago.query<{ gone: boolean }>(
      `select not exists (select from pg_ls_dir('pg_wal') n where n = '${first?.name ?? ''}') as gone`,
    );
    return row?.gone === true;
  });
  const plan = await scene.plan('dallas', RUN);
  expect(plan.method).toBe('rewind');
  const step = scene.step(plan, RUN);
  await activities.takeSafetyCopy(step);
  const { fallback, ...asked } = plan;
  expect(fallback).toBe('basebackup');
  await expect(activities.copyStandby({ ...step, plan: asked })).rejects.toMatchObject({
    type: 'CommandFailed',
    message: expect.stringContaining(`chicago has recycled ${first?.name ?? ''}`) as string,
  });
  await expect(activities.copyStandby(step)).resolves.toMatchObject({ outcome: 'copied', method: 'basebackup' });
  await activities.startStandby(step);
  const rows = 'select count(*)::int n, count(*) filter (where note = $$only dallas$$)::int own from orders';
  await expect(dallas.query(rows)).resolves.toEqual([{ n: 1100, own: 0 }]);
});

test('a node whose disk is new is copied although nothing can be kept; its undo sets the new data aside', async () => {
  const scene = await makeRebuildScene();
  const { activities, chicago } = scene;
  await chicago.stop();
  await rm(chicago.dataDir, { recursive: true });
  const plan = await scene.plan('chicago', RUN);
  expect(plan.warnings.join()).toContain('nothing can be kept');
  const step = scene.step(plan, RUN);
  await activities.stopStandby(step);
  await expect(activities.takeSafetyCopy(step)).resolves.toMatchObject({ outcome: 'taken', copy: { bytes: 0 } });
  await activities.copyStandby(step);
  await activities.startStandby(step);
  await expect(activities.listSafetyCopies({ environment: 'lab', node: 'chicago' })).resolves.toEqual({ copies: [] });
  await activities.stopStandby(step);
  await expect(activities.returnSafetyCopy(step)).resolves.toMatchObject({ outcome: 'returned' });
  expect(await readdir(path.dirname(chicago.dataDir))).not.toContain('data');
});

async function allTextBelow(dir: string): Promise<string> {
  const entries = await readdir(dir, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile());
  return (await Promise.all(files.map((f) => readFile(path.join(f.parentPath, f.name), 'utf8')))).join('\n');
}
