/**
 * Scenario: the data directory of a node is a ZFS dataset. Verified: (1) the safety copy is a held, marked, verified snapshot, taken once, also when killed in
 * between; (2) rewind and full copy happen in place and the copy stays what it was; (3) it comes back without anything being deleted, also when newer snapshots
 * exist and when killed in between; (4) foreign snapshots and unfit datasets are refused. Needs root and ZFS (kernel module or zfs-fuse).
 */
import { chown, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { shortRunId } from '../../shared/ids.js';
import { directoryChecksums } from '../support/checksums.js';
import { destroyAllClusters } from '../support/cluster.js';
import { createKillableSteps, type KillableSteps } from '../support/killed-step.js';
import { waitFor } from '../support/promotion-scene.js';
import { destroyRebuildScenes, makeRebuildScene, type RebuildScene } from '../support/rebuild-scene.js';
import { startZfs, zfsMissing, type TestZfs } from '../support/zfs.js';

jest.setTimeout(400_000);

const missing = zfsMissing();
if (missing !== null) console.warn(`skipped: ${missing}`);
const group = missing === null ? describe : describe.skip;

const RUN = '01999999-2222-7000';

group('data on a ZFS dataset', () => {
  let pool: TestZfs;
  let steps: KillableSteps;
  let count = 0;
  beforeAll(async () => {
    pool = await startZfs();
    steps = await createKillableSteps('rebuild-child');
  });
  afterEach(destroyRebuildScenes);
  afterAll(async () => {
    await destroyAllClusters();
    await steps.destroy();
    await pool.destroy();
  });

  async function makeScene(special: 'dallas' | 'chicago'): Promise<{ scene: RebuildScene; dataset: string }> {
    count += 1;
    const name = `pg${String(count)}`;
    const scene = await makeRebuildScene({
      special,
      prepare: async (dataDir) => ({ kind: 'zfs', dataset: await pool.createDataset(name, dataDir), sudo: false }),
      cleanUp: () => pool.unmountAll(),
    });
    return { scene, dataset: `${pool.pool}/${name}` };
  }
  const get = async (target: string, property: string) =>
    (await pool.zfs('get', '-H', '-p', '-o', 'value', property, target)).trim();

  test('an old primary is rewound in place, killed at every point; undo brings its data back beside newer snapshots', async () => {
    const { scene, dataset } = await makeScene('dallas');
    const { activities, dallas, configFile } = scene;
    await scene.splitAndStop('fast');
    const plan = await scene.plan('dallas', RUN);
    const snapshot = `${dataset}@pgr-${shortRunId(RUN)}`;
    expect(plan).toMatchObject({ method: 'rewind', safetyCopy: { provider: 'zfs', name: snapshot } });
    const step = scene.step(plan, RUN);
    const kill = async (fault: string, activity: string) => {
      expect([fault, await steps.killAt(fault, activity, configFile, step)]).toEqual([fault, true]);
    };
    const old = await directoryChecksums(dallas.dataDir);
    for (const point of ['taken', 'held', 'looking']) await kill(`snapshot:${point}`, 'takeSafetyCopy');
    await kill('rebuild:copied-aside', 'takeSafetyCopy');
    const taken = await activities.takeSafetyCopy(step);
    expect(taken).toMatchObject({ outcome: 'already-taken', copy: { name: snapshot, verified: true, runId: RUN } });
    expect(await get(snapshot, 'userrefs')).toBe('1');
    await expect(pool.zfs('destroy', '-r', dataset)).rejects.toMatchObject({ type: 'CommandFailed' });

    await kill('rebuild:copied', 'copyStandby');
    // Half-way nothing can be started there, whoever tries.
    expect(await directoryChecksums(dallas.dataDir)).not.toHaveProperty('global/pg_control');
    await expect(activities.startStandby(step)).rejects.toMatchObject({ type: 'PreconditionFailed' });
    await kill('rebuild:moved-out', 'copyStandby');
    await kill('rebuild:renamed', 'copyStandby');
    await expect(activities.copyStandby(step)).resolves.toMatchObject({ method: 'rewind' });
    await kill('rebuild:started', 'startStandby');
    await activities.startStandby(step);
    const rows = 'select count(*)::int n, count(*) filter (where note = $$only dallas$$)::int own from orders';
    await waitFor(async () => (await dallas.query(rows))[0]?.['n'] === 1100);
    await expect(dallas.query(rows)).resolves.toEqual([{ n: 1100, own: 0 }]);

    await activities.stopStandby(step);
    await pool.zfs('snapshot', `${dataset}@newer`);
    for (const point of ['back-cloned', 'cloned', 'set-aside', 'returned'])
      await kill(`snapshot:${point}`, 'returnSafetyCopy');
    const undone = `${dataset}-undone-${shortRunId(RUN)}`;
    await expect(activities.returnSafetyCopy(step)).resolves.toMatchObject({ setAside: undone });
    await expect(activities.returnSafetyCopy(step)).resolves.toEqual({ outcome: 'already-there', setAside: undone });
    expect(await directoryChecksums(dallas.dataDir)).toEqual(old);
    expect(await get(dataset, 'recordsize')).toBe('8192');
    expect(await get(dataset, 'mountpoint')).toBe(dallas.dataDir);
    expect(await get(`${undone}@newer`, 'type')).toBe('snapshot');
    expect(await get(snapshot, 'userrefs')).toBe('1');
    const { copies } = await activities.listSafetyCopies({ environment: 'lab', node: 'dallas' });
    expect(copies.map((copy) => [copy.name, copy.verified])).toEqual([[snapshot, true]]);
    // The set-aside data hang on the snapshot: it cannot be pruned before them, and stays held.
    await expect(scene.deps.snapshot('lab', 'dallas').remove(copies[0]!)).rejects.toMatchObject({
      type: 'SnapshotFailed',
      message: `${snapshot} cannot be removed: ${undone} was made from it and shares its blocks`,
    });
    expect(await get(snapshot, 'userrefs')).toBe('1');
  });

  test('a standby is copied in place while its old data stay until the copy is whole; copies are pruned except the newest', async () => {
    const { scene, dataset } = await makeScene('chicago');
    const { activities, chicago, configFile } = scene;
    const plan = await scene.plan('chicago', RUN, { rateLimitKbPerSecond: 8192 });
    expect(plan).toMatchObject({ method: 'basebackup', rateLimitKbPerSecond: 8192 });
    const step = scene.step(plan, RUN);
    await activities.stopStandby(step);
    const old = await directoryChecksums(chicago.dataDir);
    await activities.takeSafetyCopy(step);
    expect(await steps.killAt('rebuild:copying', 'copyStandby', configFile, step)).toBe(true);
    expect(await directoryChecksums(chicago.dataDir)).toMatchObject(old);
    // Given up in the middle: the data were never touched, what was being made goes.
    await expect(activities.returnSafetyCopy(step)).resolves.toEqual({ outcome: 'already-there', setAside: null });
    expect(await directoryChecksums(chicago.dataDir)).toEqual(old);
    await expect(activities.copyStandby(step)).rejects.toMatchObject({ type: 'PreconditionFailed' });

    const second = '01999999-3333-7000';
    const again = scene.step(await scene.plan('chicago', second), second);
    await activities.takeSafetyCopy(again);
    await activities.copyStandby(again);
    await activities.startStandby(again);
    expect(await readFile(path.join(chicago.dataDir, 'postgresql.conf'), 'utf8')).toContain('# of chicago');
    const { copies } = await activities.listSafetyCopies({ environment: 'lab', node: 'chicago' });
    expect(copies).toHaveLength(2);
    const prune = { environment: 'lab', host: 'chicago', names: copies.map((copy) => copy.name), run: 'lab/prune' };
    await expect(activities.pruneSafetyCopies(prune)).resolves.toMatchObject({
      removed: [`${dataset}@pgr-${shortRunId(RUN)}`],
      kept: [{ name: `${dataset}@pgr-${shortRunId(second)}` }],
    });
    await expect(chicago.query('select pg_is_in_recovery() r')).resolves.toEqual([{ r: true }]);
  });

  test('a snapshot of that name by somebody else, or a dataset that holds more, is refused and nothing is touched', async () => {
    const { scene, dataset } = await makeScene('chicago');
    const { activities, chicago } = scene;
    const step = scene.step(await scene.plan('chicago', RUN), RUN);
    await activities.stopStandby(step);
    const old = await directoryChecksums(chicago.dataDir);
    const name = `${dataset}@pgr-${shortRunId(RUN)}`;
    await pool.zfs('snapshot', name);
    await expect(activities.takeSafetyCopy(step)).rejects.toMatchObject({ type: 'IdentityMismatch' });
    await expect(activities.copyStandby(step)).rejects.toMatchObject({ type: 'SafetyCopyMissing' });
    expect(await get(name, 'userrefs')).toBe('0');
    expect(await directoryChecksums(chicago.dataDir)).toEqual(old);
    await pool.zfs('destroy', name);
    await pool.zfs('create', '-o', 'mountpoint=none', `${dataset}/child`);
    await expect(activities.takeSafetyCopy(step)).rejects.toMatchObject({
      type: 'SnapshotFailed',
      message: expect.stringContaining(`${dataset}/child`) as string,
    });
    await pool.zfs('destroy', `${dataset}/child`);
    await activities.takeSafetyCopy(step);
  });

  test('a data directory below the mount point is fine alone, and refused beside other data', async () => {
    const { scene } = await makeScene('chicago');
    const parent = path.join(scene.dir, 'shared');
    const dataset = await pool.createDataset(`shared${String(count)}`, parent);
    const config = structuredClone(scene.config);
    const node = config.environments['lab']!.nodes[1]!;
    node.dataDir = path.join(parent, 'main');
    node.snapshot = { kind: 'zfs', dataset, sudo: false };
    const { rebuildDeps } = await import('../support/rebuild-scene.js');
    const provider = rebuildDeps(config).snapshot('lab', 'chicago');
    await expect(provider.check()).resolves.toMatchObject({ problems: [] });
    await writeFile(path.join(parent, 'other'), '');
    await chown(parent, scene.chicago.owner.uid, scene.chicago.owner.gid);
    await expect(provider.check()).resolves.toMatchObject({
      problems: [expect.stringContaining('holds more') as string],
    });
  });
});
