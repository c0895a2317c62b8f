/**
 * Scenario: the data directories of production are ZFS datasets, and a promotion swaps a restored cluster in. Verified: (1) old data move aside as a dataset, the
 * recovered cluster gets one of its own, and an undo brings everything back, killed at every point; (2) nothing that was kept changes or is deleted; (3) a
 * standby is rebuilt the same way; (4) safety copies go along with the data, and kept data are pruned; (5) a dataset that is not mounted is no empty directory.
 * Needs root and ZFS.
 */
import path from 'node:path';

import { readdir } from 'node:fs/promises';

import * as promotion from '../../activities/postgres/promotion/index.js';
import { directoryState } from '../../activities/postgres/data-directory.js';
import { placeOf } from '../../activities/postgres/sandbox/place.js';
import { createRebuildStandby } from '../../activities/postgres/standby/rebuild-standby.js';
import { shortRunId } from '../../shared/ids.js';
import { directoryChecksums } from '../support/checksums.js';
import { destroyAllClusters } from '../support/cluster.js';
import { createKillableSteps, type KillableSteps } from '../support/killed-step.js';
import { destroyAllScenes, makeScene, waitFor, type Scene } from '../support/promotion-scene.js';
import { startZfs, zfsMissing, type TestZfs } from '../support/zfs.js';

jest.setTimeout(400_000);

const missing = zfsMissing();
if (missing !== null) console.warn(`skipped: ${missing}`);
const group = missing === null ? describe : describe.skip;

const RUN = '01999999-5555-7000';
const OLD_RUN = '01888888-5555-7000';
const MOVES = ['noted', 'unmounted', 'renamed', 'placed', 'mounted'].map((point) => `snapshot:move-${point}`);

group('promotion where data are datasets', () => {
  let pool: TestZfs;
  let steps: KillableSteps;
  let count = 0;
  beforeAll(async () => {
    pool = await startZfs();
    steps = await createKillableSteps();
  });
  afterEach(destroyAllScenes);
  afterAll(async () => {
    await destroyAllClusters();
    await steps.destroy();
    await pool.destroy();
  });

  async function sceneOnZfs(standby: boolean): Promise<{ scene: Scene; dataset: string }> {
    count += 1;
    const name = (node: string): string => `${node}${String(count)}`;
    const scene = await makeScene({
      standby,
      prepare: async (node, dataDir) => ({
        kind: 'zfs',
        dataset: await pool.createDataset(name(node), dataDir),
        sudo: false,
      }),
      cleanUp: () => pool.unmountAll(),
    });
    return { scene, dataset: `${pool.pool}/${name('dallas')}` };
  }
  const get = async (target: string, property: string) =>
    (await pool.zfs('get', '-H', '-p', '-o', 'value', property, target)).trim();

  test('a promotion and its undo, killed at every point, end as if undisturbed', async () => {
    const { scene, dataset } = await sceneOnZfs(true);
    const { deps, configFile } = scene;
    const { ref, plan } = await scene.makeSandbox('first');
    const dallas = scene.step('dallas', RUN);
    const chicago = scene.step('chicago', RUN);
    const swap = { ...dallas, ref };
    const kill = async (fault: string, activity: string, input: unknown) => {
      expect([fault, await steps.killAt(fault, activity, configFile, input)]).toEqual([fault, true]);
    };
    const short = shortRunId(RUN);
    const planned = await promotion.createPlanPromotion(deps)({ ...dallas, ref, plan });
    expect(planned.warnings).toEqual(expect.arrayContaining([expect.stringContaining('are copied from') as string]));
    await promotion.createFenceNode(deps)(dallas);
    await promotion.createFenceNode(deps)(chicago);
    // A safety copy of an earlier rebuild belongs to the old data and goes where they go.
    const provider = deps.snapshot('lab', 'dallas');
    const { systemIdentifier } = scene;
    const copy = { environment: 'lab', node: 'dallas', host: 'dallas', run: 'lab/old', runId: OLD_RUN };
    await provider.take({ ...copy, systemIdentifier, timeline: 1 });
    const old = await directoryChecksums(scene.dallas.dataDir);

    for (const fault of MOVES) await kill(fault, 'keepOldData', dallas);
    const kept = await promotion.createKeepOldData(deps)(dallas);
    expect(kept.outcome).toBe('already-kept');
    expect(await get(`${dataset}-kept-${short}`, 'mountpoint')).toBe(kept.keptDataDir);
    expect(await get(`${dataset}-kept-${short}`, 'canmount')).toBe('on');
    expect(await readdir(path.dirname(scene.dallas.dataDir))).not.toContain('data');

    const points = ['after-stop', 'after-settings', 'room-made', 'staged', 'given-up', 'before-rename'];
    for (const fault of points) await kill(`swap-in:${fault}`, 'swapIn', swap);
    for (const fault of MOVES) await kill(fault, 'swapIn', swap);
    await expect(promotion.createSwapIn(deps)(swap)).resolves.toMatchObject({ outcome: 'already-swapped' });
    expect(await get(dataset, 'mountpoint')).toBe(scene.dallas.dataDir);
    expect(await get(dataset, 'recordsize')).toBe('8192');

    await promotion.createEndRecovery(deps)({ ...dallas, ref, plan });
    await promotion.createStartNode(deps)(dallas);
    await expect(scene.dallas.query('select count(*)::int n from orders')).resolves.toEqual([{ n: 1010 }]);
    expect(await directoryChecksums(kept.keptDataDir)).toEqual(old);
    await promotion.createFinishPromotion(deps)({ ref });
    expect((await provider.list()).map(({ provider: kind, name, verified }) => [kind, name, verified])).toEqual([
      ['zfs', `${dataset}-kept-${short}@pgr-${shortRunId(OLD_RUN)}`, true],
      ['directory', kept.keptDataDir, true],
    ]);

    const rebuilding = [
      'rebuild-standby:kept',
      'rebuild-standby:cloned',
      'snapshot:move-unmounted',
      'rebuild-standby:started',
    ];
    for (const fault of rebuilding) await kill(fault, 'rebuildStandby', { ...chicago, from: 'dallas' });
    await createRebuildStandby(deps)({ ...chicago, from: 'dallas' });
    await expect(scene.dallas.query('select count(*)::int n from pg_stat_replication')).resolves.toEqual([{ n: 1 }]);

    for (const step of [dallas, chicago]) await promotion.createFenceNode(deps)(step);
    for (const fault of MOVES) await kill(fault, 'swapOut', dallas);
    await expect(promotion.createSwapOut(deps)(dallas)).resolves.toMatchObject({ outcome: 'nothing-there' });
    expect(await get(`${dataset}-undone-${short}`, 'mountpoint')).toBe(`${scene.dallas.dataDir}.undone-${short}`);
    for (const fault of MOVES) await kill(fault, 'returnOldData', dallas);
    await expect(promotion.createReturnOldData(deps)(dallas)).resolves.toMatchObject({ outcome: 'already-there' });
    expect(await directoryChecksums(scene.dallas.dataDir)).toEqual(old);
    expect(await get(dataset, 'mountpoint')).toBe(scene.dallas.dataDir);
    await promotion.createReturnOldData(deps)(chicago);
    await promotion.createStartNode(deps)(dallas);
    await expect(scene.dallas.query('select count(*)::int n from orders')).resolves.toEqual([{ n: 0 }]);
    expect((await provider.list()).map(({ name }) => name)).toEqual([`${dataset}@pgr-${shortRunId(OLD_RUN)}`]);
  });

  test('an abort before the move takes away what was being made, and the sandbox and the old data are as they were', async () => {
    const { scene, dataset } = await sceneOnZfs(false);
    const { deps, configFile } = scene;
    const { ref } = await scene.makeSandbox('first');
    const dallas = scene.step('dallas', RUN);
    await promotion.createFenceNode(deps)(dallas);
    const old = await directoryChecksums(scene.dallas.dataDir);
    await promotion.createKeepOldData(deps)(dallas);
    expect(await steps.killAt('swap-in:given-up', 'swapIn', configFile, { ...dallas, ref })).toBe(true);
    await expect(promotion.createSwapOut(deps)(dallas)).resolves.toMatchObject({ outcome: 'nothing-there' });
    await expect(directoryState(placeOf(deps.config, ref).dataDir)).resolves.toBe('cluster');
    await promotion.createReturnOldData(deps)(dallas);
    expect(await directoryChecksums(scene.dallas.dataDir)).toEqual(old);
    const names = (await pool.zfs('list', '-H', '-o', 'name', '-r', pool.pool)).split('\n');
    expect(names.filter((name) => name.startsWith(dataset))).toEqual([dataset]);
  });

  test('kept data are pruned without their snapshots being taken along, and a dataset that is not mounted is not "nothing there"', async () => {
    const { scene, dataset } = await sceneOnZfs(false);
    const { deps } = scene;
    const dallas = scene.step('dallas', RUN);
    const { ref } = await scene.makeSandbox('first');
    await promotion.createFenceNode(deps)(dallas);
    await pool.zfs('unmount', dataset);
    await expect(promotion.createKeepOldData(deps)(dallas)).rejects.toMatchObject({
      type: 'PreconditionFailed',
      message: expect.stringContaining('is not mounted') as string,
    });
    await waitFor(() =>
      pool.zfs('mount', dataset).then(
        () => true,
        () => false,
      ),
    );
    await promotion.createKeepOldData(deps)(dallas);
    await promotion.createSwapIn(deps)({ ...dallas, ref });
    const provider = deps.snapshot('lab', 'dallas');
    const [copy] = await provider.list();
    const kept = `${dataset}-kept-${shortRunId(RUN)}`;
    await pool.zfs('snapshot', `${kept}@mine`);
    await expect(provider.remove(copy!)).rejects.toMatchObject({
      type: 'SnapshotFailed',
      message: expect.stringContaining(`${kept}@mine`) as string,
    });
    await expect(get(`${kept}@mine`, 'type')).resolves.toBe('snapshot');
    await pool.zfs('destroy', `${kept}@mine`);
    await provider.remove(copy!);
    await provider.list().then((copies) => {
      expect(copies).toEqual([]);
    });
    await expect(get(kept, 'type')).rejects.toMatchObject({ type: 'CommandFailed' });
  });
});
