/**
 * Scenario: production's data directory is a btrfs subvolume, and a promotion swaps a restored cluster in. Verified: (1) the recovered cluster becomes a subvolume
 * too (so that the next rebuild can take a snapshot of it), sharing its blocks with the sandbox, killed at every point; (2) an undo brings the old
 * subvolume back as it was; (3) nothing that was being made is left by an abort. Needs root, loop devices and a kernel with btrfs.
 */
import { readdir } from 'node:fs/promises';
import path from 'node:path';

import * as promotion from '../../activities/postgres/promotion/index.js';
import { shortRunId } from '../../shared/ids.js';
import { btrfsMissing, startBtrfs, type TestBtrfs } from '../support/btrfs.js';
import { directoryChecksums } from '../support/checksums.js';
import { destroyAllClusters } from '../support/cluster.js';
import { createKillableSteps, type KillableSteps } from '../support/killed-step.js';
import { destroyAllScenes, makeScene, type Scene } from '../support/promotion-scene.js';

jest.setTimeout(400_000);

const RUN = '01999999-6666-7000';
let steps: KillableSteps;
const missing = btrfsMissing();
if (missing !== null) console.warn(`skipped: ${missing}`);
const onBtrfs = missing === null ? test : test.skip;
beforeAll(async () => {
  steps = await createKillableSteps();
});
afterEach(destroyAllScenes);
afterAll(async () => {
  await destroyAllClusters();
  await steps.destroy();
});

async function sceneOnBtrfs(): Promise<Scene> {
  const made: TestBtrfs[] = [];
  return makeScene({
    standby: false,
    prepare: async (_, dataDir) => {
      const fs = await startBtrfs(path.dirname(dataDir));
      made.push(fs);
      await fs.btrfs('subvolume', 'create', dataDir);
      return { kind: 'btrfs', sudo: false };
    },
    cleanUp: async () => {
      for (const fs of made) await fs.destroy();
    },
  });
}

onBtrfs('a promotion and its undo, killed at every point, end as if undisturbed', async () => {
  const scene = await sceneOnBtrfs();
  const { deps, configFile } = scene;
  const { dataDir } = scene.dallas;
  const { ref, plan } = await scene.makeSandbox('first');
  const dallas = scene.step('dallas', RUN);
  const swap = { ...dallas, ref };
  const kill = async (fault: string, activity: string, input: unknown) => {
    expect([fault, await steps.killAt(fault, activity, configFile, input)]).toEqual([fault, true]);
  };
  const planned = await promotion.createPlanPromotion(deps)({ ...dallas, ref, plan });
  expect(planned.warnings.join()).not.toContain('are copied from');
  await promotion.createFenceNode(deps)(dallas);
  const old = await directoryChecksums(dataDir);
  for (const point of ['before', 'after']) await kill(`keep-old-data:${point}-rename`, 'keepOldData', dallas);
  const kept = await promotion.createKeepOldData(deps)(dallas);
  const points = ['after-stop', 'after-settings', 'room-made', 'staged', 'given-up', 'before-rename', 'after-rename'];
  for (const fault of points) await kill(`swap-in:${fault}`, 'swapIn', swap);
  await expect(promotion.createSwapIn(deps)(swap)).resolves.toMatchObject({ outcome: 'already-swapped' });
  await promotion.createEndRecovery(deps)({ ...dallas, ref, plan });
  await promotion.createStartNode(deps)(dallas);
  await expect(scene.dallas.query('select count(*)::int n from orders')).resolves.toEqual([{ n: 1010 }]);
  expect(await directoryChecksums(kept.keptDataDir)).toEqual(old);
  await expect(deps.snapshot('lab', 'dallas').check()).resolves.toMatchObject({ problems: [] });

  await promotion.createFenceNode(deps)(dallas);
  for (const point of ['before', 'after']) await kill(`swap-out:${point}-rename`, 'swapOut', dallas);
  await expect(promotion.createSwapOut(deps)(dallas)).resolves.toMatchObject({ outcome: 'nothing-there' });
  for (const point of ['before', 'after']) await kill(`return-old-data:${point}-rename`, 'returnOldData', dallas);
  await expect(promotion.createReturnOldData(deps)(dallas)).resolves.toMatchObject({ outcome: 'already-there' });
  expect(await directoryChecksums(dataDir)).toEqual(old);
  expect(await readdir(path.dirname(dataDir))).toContain(`data.undone-${shortRunId(RUN)}`);
  await expect(deps.snapshot('lab', 'dallas').check()).resolves.toMatchObject({ problems: [] });
});

onBtrfs('an abort takes away what was being made, and kept data are removed as subvolumes', async () => {
  const scene = await sceneOnBtrfs();
  const { deps, configFile } = scene;
  const { dataDir } = scene.dallas;
  const { ref } = await scene.makeSandbox('first');
  const dallas = scene.step('dallas', RUN);
  await promotion.createFenceNode(deps)(dallas);
  const old = await directoryChecksums(dataDir);
  await promotion.createKeepOldData(deps)(dallas);
  expect(await steps.killAt('swap-in:staged', 'swapIn', configFile, { ...dallas, ref })).toBe(true);
  await promotion.createSwapOut(deps)(dallas);
  await promotion.createReturnOldData(deps)(dallas);
  expect(await directoryChecksums(dataDir)).toEqual(old);
  expect((await readdir(path.dirname(dataDir))).filter((name) => name.startsWith('data'))).toEqual(['data']);
  const second = scene.step('dallas', '01999999-7777-7000');
  const kept = await promotion.createKeepOldData(deps)(second);
  const provider = deps.snapshot('lab', 'dallas');
  const [copy] = await provider.list();
  expect(copy).toMatchObject({ name: kept.keptDataDir, verified: true });
  await provider.remove(copy!);
  expect((await readdir(path.dirname(dataDir))).filter((name) => name.startsWith('data'))).toEqual([]);
});
