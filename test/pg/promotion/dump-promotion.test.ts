/**
 * Scenario: a restored dump becomes production, on real servers; the worker dies by SIGKILL on the way. Verified: (1) an old primary that accepts writes and
 * an archive of another cluster are refused with what to do, and nothing is touched; (2) killed at every fault point, each step ends as if undisturbed and
 * does nothing twice; (3) the new cluster has an identity, an archive and standbys of its own, and the configuration of production; (4) the undo brings the
 * old cluster back byte for byte, and only into its own archive; (5) with nothing left of production it starts with what stands in the sandbox.
 */
import { appendFile, readdir, readFile, rm } from 'node:fs/promises';
import path from 'node:path';

import {
  createPlanDumpPromotion,
  createSwapInDump,
  createVerifyDump,
} from '../../../activities/postgres/dump/index.js';
import * as promotion from '../../../activities/postgres/promotion/index.js';
import { placeOf } from '../../../activities/postgres/sandbox/place.js';
import { createRebuildStandby } from '../../../activities/postgres/standby/rebuild-standby.js';
import { requireControlData } from '../../../activities/postgres/control-data.js';
import type { DumpPromotionPlan, PromotionResult } from '../../../shared/contracts/promotion.js';
import { shortRunId } from '../../../shared/ids.js';
import { directoryChecksums } from '../../support/checksums.js';
import { destroyAllClusters } from '../../support/cluster.js';
import { giveOwnArchive, restoreDumpOf } from '../../support/dump-promotion-scene.js';
import { createKillableSteps, type KillableSteps } from '../../support/killed-step.js';
import { destroyAllScenes, makeScene } from '../../support/promotion-scene.js';

jest.setTimeout(300_000);

let steps: KillableSteps;
beforeAll(async () => {
  steps = await createKillableSteps();
});
afterEach(async () => {
  await destroyAllScenes();
});
afterAll(async () => {
  await destroyAllClusters();
  await steps.destroy();
});

const RUN = 'eeeeeeee-5555';

test('a promotion of a dump and its undo, killed at every fault point, end as if undisturbed', async () => {
  const scene = await makeScene();
  const restored = await restoreDumpOf(scene, 'first');
  const { ref, plan, system } = restored;
  const request = { environment: 'lab', run: 'lab/change', runId: RUN, ref, plan };

  // The old primary lives: its commits would be given up without anybody having said so.
  await scene.dallas.query('delete from orders');
  await expect(createPlanDumpPromotion(restored.deps)(request)).rejects.toMatchObject({
    type: 'PreconditionFailed',
    message: expect.stringContaining('dallas runs and accepts writes') as string,
    details: [{ next: [expect.stringContaining('stop') as string] }],
  });
  await scene.dallas.stop();

  // Its archive is there: WAL of the new cluster would get names that are taken.
  await expect(createPlanDumpPromotion(restored.deps)(request)).rejects.toMatchObject({
    type: 'PreconditionFailed',
    message: expect.stringContaining(`is that of system ${scene.systemIdentifier}`) as string,
    details: [{ hint: expect.stringContaining(`prefix: ${system}`) as string }],
  });
  const archived = await readdir(scene.store.walDir);
  const { deps, configFile, storeDir } = await giveOwnArchive(scene);
  const planned = await createPlanDumpPromotion(deps)(request);
  expect(planned).toMatchObject({
    oldSystemIdentifier: scene.systemIdentifier,
    newSystemIdentifier: system,
    archive: 'empty',
    settingsFrom: scene.dallas.dataDir,
    primary: { name: 'dallas', state: 'down', systemIdentifier: scene.systemIdentifier, replacement: system },
    standbys: [{ name: 'chicago', state: 'running', systemIdentifier: scene.systemIdentifier, replacement: system }],
  });
  await expect(createVerifyDump(deps)({ ref, plan })).resolves.toMatchObject({ ok: true });

  const dallas = restored.step('dallas', RUN);
  const chicago = restored.step('chicago', RUN);
  const started = { ...dallas, expect: { ...scene.step('dallas', RUN).expect, systemIdentifier: system } };
  const swap = { ...dallas, ref, plan };
  const kill = async (fault: string, activity: string, input: unknown) => {
    expect([fault, await steps.killAt(fault, activity, configFile, input)]).toEqual([fault, true]);
  };
  await kill('fence-node:after-stop', 'fenceNode', chicago);
  for (const node of [dallas, chicago]) await promotion.createFenceNode(deps)(node);
  const old = await directoryChecksums(scene.dallas.dataDir);
  await kill('keep-old-data:before-rename', 'keepOldData', dallas);
  await kill('keep-old-data:after-rename', 'keepOldData', dallas);
  const kept = await promotion.createKeepOldData(deps)(dallas);
  expect(kept).toMatchObject({ outcome: 'already-kept', systemIdentifier: scene.systemIdentifier });

  for (const fault of ['before-stop', 'after-stop', 'after-settings', 'before-rename', 'after-rename']) {
    await kill(`swap-in:${fault}`, 'swapInDump', swap);
  }
  await expect(createSwapInDump(deps)(swap)).resolves.toMatchObject({ outcome: 'already-swapped' });
  await expect(promotion.createStartNode(deps)(dallas)).rejects.toMatchObject({ type: 'IdentityMismatch' });
  await kill('start-node:after-start', 'startNode', started);
  await expect(promotion.createStartNode(deps)(started)).resolves.toMatchObject({ role: 'primary', timeline: 1 });
  await expect(scene.dallas.query('select count(*)::int n from orders')).resolves.toEqual([{ n: 1000 }]);
  await expect(
    scene.dallas.query(
      "select current_setting('default_transaction_read_only') r, current_setting('wal_level') w, current_setting('wal_keep_size') k",
    ),
  ).resolves.toEqual([{ r: 'off', w: 'replica', k: '64MB' }]);
  expect(await readFile(path.join(scene.dallas.dataDir, 'postgresql.conf'), 'utf8')).toContain('# kept comment');
  expect(await directoryChecksums(kept.keptDataDir)).toEqual(old);

  await kill('re-baseline:base-taken', 'rebaseline', started);
  await expect(promotion.createRebaseline(deps)(started)).resolves.toMatchObject({ timeline: 1 });
  expect(await readdir(path.join(storeDir, 'bases'))).toHaveLength(1);
  expect(await readdir(scene.store.walDir)).toEqual(archived);
  const ownStore = await deps.store('lab');
  await expect(ownStore.systems?.()).resolves.toEqual([system]);

  const rebuild = { ...chicago, from: 'dallas' };
  for (const fault of ['kept', 'cloned', 'renamed']) await kill(`rebuild-standby:${fault}`, 'rebuildStandby', rebuild);
  await expect(createRebuildStandby(deps)(rebuild)).resolves.toMatchObject({ timeline: 1 });
  await expect(scene.dallas.query('select count(*)::int n from pg_stat_replication')).resolves.toEqual([{ n: 1 }]);
  await expect(promotion.createFinishPromotion(deps)({ ref })).resolves.toEqual({ outcome: 'finished' });

  await undo(scene, planned, restored, deps);
  await kill('swap-out:before-rename', 'swapOut', dallas);
  await kill('swap-out:after-rename', 'swapOut', dallas);
  await kill('return-old-data:before-rename', 'returnOldData', dallas);
  await kill('return-old-data:after-rename', 'returnOldData', dallas);
  await expect(promotion.createReturnOldData(deps)(dallas)).resolves.toMatchObject({ outcome: 'already-there' });
  await expect(promotion.createReturnOldData(deps)(chicago)).resolves.toMatchObject({ outcome: 'returned' });
  expect(await directoryChecksums(scene.dallas.dataDir)).toEqual(old);
  const aside = `${scene.dallas.dataDir}.undone-${shortRunId(RUN)}`;
  await expect(requireControlData(scene.dallas.binDir, aside)).resolves.toMatchObject({ systemIdentifier: system });
  await promotion.createStartNode(scene.deps)(dallas);
  await expect(scene.dallas.query('select count(*)::int n from orders')).resolves.toEqual([{ n: 0 }]);
});

/** The plan of the undo is refused until the new cluster is stopped and the old archive is back in the config. */
async function undo(
  scene: Awaited<ReturnType<typeof makeScene>>,
  plan: DumpPromotionPlan,
  restored: Awaited<ReturnType<typeof restoreDumpOf>>,
  deps: typeof scene.deps,
): Promise<void> {
  const done = { plan, run: 'lab/change', runId: RUN, timeline: 1, recovery: null } as unknown as PromotionResult;
  const request = { environment: 'lab', ofRun: 'lab/change', promotion: done, runId: RUN };
  await expect(promotion.createPlanUndo(deps)(request)).rejects.toMatchObject({
    type: 'PreconditionFailed',
    message: expect.stringContaining('dallas runs') as string,
  });
  for (const node of ['dallas', 'chicago']) await promotion.createFenceNode(deps)(restored.step(node, RUN));
  await expect(promotion.createPlanUndo(deps)(request)).rejects.toMatchObject({
    type: 'PreconditionFailed',
    message: expect.stringContaining(`is that of system ${plan.newSystemIdentifier}`) as string,
  });
  await expect(promotion.createPlanUndo(scene.deps)(request)).resolves.toMatchObject({
    primary: { systemIdentifier: scene.systemIdentifier, replacement: plan.newSystemIdentifier },
    lostSince: expect.stringMatching(/^20/) as string,
  });
}

test('with nothing left of production it starts with the configuration that a person put into the sandbox', async () => {
  const scene = await makeScene({ standby: false });
  const restored = await restoreDumpOf(scene, 'alone');
  const { ref, plan, system } = restored;
  const { deps, storeDir } = await giveOwnArchive(scene);
  const { dataDir, port } = scene.dallas;
  const archiving = (await readFile(path.join(dataDir, 'postgresql.conf'), 'utf8'))
    .split('\n')
    .filter((line) => line.startsWith('archive_'));
  await scene.dallas.stop();
  await rm(dataDir, { recursive: true });
  const request = { environment: 'lab', run: 'lab/change', runId: RUN, ref, plan };
  const sandbox = placeOf(scene.config, ref);
  await expect(createPlanDumpPromotion(deps)(request)).rejects.toMatchObject({
    type: 'ArchiveFailing',
    details: [{ hint: expect.stringContaining(`into ${sandbox.dataDir}`) as string }],
  });
  await appendFile(path.join(sandbox.dataDir, 'postgresql.conf'), `${archiving.join('\n')}\n`);
  await expect(createPlanDumpPromotion(deps)(request)).resolves.toMatchObject({
    settingsFrom: sandbox.dataDir,
    warnings: expect.arrayContaining([expect.stringContaining('nothing can be kept') as string]) as string[],
  });
  const dallas = restored.step('dallas', RUN);
  await promotion.createFenceNode(deps)(dallas);
  await promotion.createKeepOldData(deps)(dallas);
  const swapped = await createSwapInDump(deps)({ ...dallas, ref, plan });
  expect(swapped).toMatchObject({ outcome: 'swapped', settingsFrom: 'base' });
  const started = { ...dallas, expect: { ...scene.step('dallas', RUN).expect, systemIdentifier: system } };
  await promotion.createStartNode(deps)(started);
  await expect(scene.dallas.query('select count(*)::int n from orders')).resolves.toEqual([{ n: 1000 }]);
  await expect(scene.dallas.query("select current_setting('port')::int p")).resolves.toEqual([{ p: port }]);
  await promotion.createRebaseline(deps)(started);
  expect(await readdir(path.join(storeDir, 'wal'))).not.toEqual([]);
});

test('a sandbox into which somebody wrote, and data that are another cluster, are never swapped in', async () => {
  const scene = await makeScene({ standby: false });
  const restored = await restoreDumpOf(scene, 'guarded');
  const { ref, plan } = restored;
  await scene.dallas.stop();
  const { deps } = await giveOwnArchive(scene);
  const dallas = restored.step('dallas', RUN);
  await promotion.createKeepOldData(deps)(dallas);
  const swap = { ...dallas, ref, plan };
  const pitr = { ...scene.step('dallas', RUN), ref };
  await expect(promotion.createSwapIn(deps)(pitr)).rejects.toMatchObject({ type: 'IdentityMismatch' });
  const other = { ...swap, expect: { ...swap.expect, replacement: '1' } };
  await expect(createSwapInDump(deps)(other)).rejects.toMatchObject({ type: 'IdentityMismatch' });
  await expect(createSwapInDump(scene.deps)(swap)).rejects.toMatchObject({ type: 'PreconditionFailed' });
  await expect(createSwapInDump(deps)({ ...swap, plan: { ...plan, hash: 'another' } })).rejects.toMatchObject({
    type: 'SandboxTainted',
  });
  await expect(createSwapInDump(deps)(swap)).rejects.toMatchObject({ type: 'SandboxTainted' });
});
