/**
 * Scenario: the worker dies by SIGKILL at every fault point of a promotion and of its undo, and the step is run again. Verified: (1) the end state is
 * that of an undisturbed run; (2) no effect happens twice; (3) PostgreSQL itself killed in the middle of ending recovery does not replay past the target.
 */
import { shortRunId } from '../../../shared/ids.js';
import { readdir, rm } from 'node:fs/promises';
import path from 'node:path';

import * as promotion from '../../../activities/postgres/promotion/index.js';
import { socketDirFor } from '../../../activities/postgres/sandbox/socket-dir.js';
import { readPostmaster } from '../../../activities/postgres/postmaster.js';
import { createRebuildStandby } from '../../../activities/postgres/standby/rebuild-standby.js';
import { directoryChecksums } from '../../support/checksums.js';
import { destroyAllClusters } from '../../support/cluster.js';
import { createKillableSteps, type KillableSteps } from '../../support/killed-step.js';
import { destroyAllScenes, makeScene, waitFor } from '../../support/promotion-scene.js';

jest.setTimeout(240_000);

let steps: KillableSteps;
beforeAll(async () => {
  steps = await createKillableSteps();
});
afterAll(async () => {
  await destroyAllScenes();
  await destroyAllClusters();
  await steps.destroy();
});

const RUN = 'dddddddd-4444';

test('a promotion and its undo, killed at every fault point, end as if undisturbed', async () => {
  const scene = await makeScene();
  const { deps, configFile } = scene;
  const sandbox = await scene.makeSandbox('first');
  const { ref, plan } = sandbox;
  const dallas = scene.step('dallas', RUN);
  const chicago = scene.step('chicago', RUN);
  const swap = { ...dallas, ref };
  const end = { ...dallas, ref, plan };
  const rebuild = { ...chicago, from: 'dallas' };
  const kill = async (fault: string, activity: string, input: unknown) => {
    expect([fault, await steps.killAt(fault, activity, configFile, input)]).toEqual([fault, true]);
  };

  await kill('fence-node:before-stop', 'fenceNode', dallas);
  await kill('fence-node:after-stop', 'fenceNode', dallas);
  await expect(promotion.createFenceNode(deps)(dallas)).resolves.toMatchObject({ outcome: 'already-stopped' });
  await promotion.createFenceNode(deps)(chicago);
  const old = await directoryChecksums(scene.dallas.dataDir);

  await kill('keep-old-data:before-rename', 'keepOldData', dallas);
  await kill('keep-old-data:after-rename', 'keepOldData', dallas);
  const kept = await promotion.createKeepOldData(deps)(dallas);
  expect(kept.outcome).toBe('already-kept');

  for (const fault of ['before-stop', 'after-stop', 'after-settings', 'before-rename', 'after-rename']) {
    await kill(`swap-in:${fault}`, 'swapIn', swap);
  }
  await expect(promotion.createSwapIn(deps)(swap)).resolves.toMatchObject({ outcome: 'already-swapped' });

  for (const fault of ['started', 'promoted', 'archived', 'stopped'])
    await kill(`end-recovery:${fault}`, 'endRecovery', end);
  await expect(promotion.createEndRecovery(deps)(end)).resolves.toMatchObject({
    outcome: 'already-promoted',
    timeline: 2,
  });

  await kill('start-node:after-start', 'startNode', dallas);
  await expect(promotion.createStartNode(deps)(dallas)).resolves.toMatchObject({
    outcome: 'already-running',
    timeline: 2,
  });
  await expect(scene.dallas.query('select count(*)::int n from orders')).resolves.toEqual([{ n: 1010 }]);
  expect(await directoryChecksums(kept.keptDataDir)).toEqual(old);

  await kill('re-baseline:base-taken', 'rebaseline', dallas);
  await expect(promotion.createRebaseline(deps)(dallas)).resolves.toMatchObject({ timeline: 2 });
  expect(await readdir(path.join(scene.dir, 'store', 'bases'))).toHaveLength(1);

  for (const fault of ['kept', 'cloned', 'renamed', 'started'])
    await kill(`rebuild-standby:${fault}`, 'rebuildStandby', rebuild);
  await expect(createRebuildStandby(deps)(rebuild)).resolves.toMatchObject({
    outcome: expect.stringMatching(/rebuilt|already-streaming/) as string,
    timeline: 2,
  });
  await expect(scene.dallas.query('select count(*)::int n from pg_stat_replication')).resolves.toEqual([{ n: 1 }]);
  await expect(scene.dallas.query('select count(*)::int n from pg_replication_slots')).resolves.toEqual([{ n: 1 }]);

  for (const step of [dallas, chicago]) await promotion.createFenceNode(deps)(step);
  await kill('swap-out:before-rename', 'swapOut', dallas);
  await kill('swap-out:after-rename', 'swapOut', dallas);
  await expect(promotion.createSwapOut(deps)(dallas)).resolves.toMatchObject({
    outcome: 'nothing-there',
    setAsideDir: expect.stringContaining('.undone-') as string,
  });
  await kill('return-old-data:before-rename', 'returnOldData', dallas);
  await kill('return-old-data:after-rename', 'returnOldData', dallas);
  await expect(promotion.createReturnOldData(deps)(dallas)).resolves.toMatchObject({ outcome: 'already-there' });
  expect(await directoryChecksums(scene.dallas.dataDir)).toEqual(old);
  // The rebuilt standby still stands in its place: it is set aside on the way.
  await kill('swap-out:after-rename', 'returnOldData', chicago);
  await expect(promotion.createReturnOldData(deps)(chicago)).resolves.toMatchObject({ outcome: 'returned' });
  await promotion.createStartNode(deps)(dallas);
  await expect(scene.dallas.query('select count(*)::int n from orders')).resolves.toEqual([{ n: 0 }]);
  const left = (await readdir(path.join(scene.dir, 'dallas'))).filter((name) => name.startsWith('data')).sort();
  expect(left).toEqual(['data', 'data.end-recovery.log', `data.undone-${shortRunId(RUN)}`]);
});

test('a private server that is killed after it removed recovery.signal does not replay past the target', async () => {
  const scene = await makeScene({ standby: false });
  const { deps } = scene;
  const { ref, plan } = await scene.makeSandbox('first');
  const dallas = scene.step('dallas', RUN);
  await promotion.createFenceNode(deps)(dallas);
  await promotion.createKeepOldData(deps)(dallas);
  await promotion.createSwapIn(deps)({ ...dallas, ref });
  // What a crash between the removal of the file and the end-of-recovery checkpoint leaves behind.
  await rm(path.join(scene.dallas.dataDir, 'recovery.signal'));
  await expect(promotion.createStartNode(deps)(dallas)).rejects.toMatchObject({ type: 'PreconditionFailed' });
  await expect(promotion.createEndRecovery(deps)({ ...dallas, ref, plan })).resolves.toMatchObject({
    outcome: 'promoted',
    timeline: 2,
  });
  await promotion.createStartNode(deps)(dallas);
  await expect(scene.dallas.query('select count(*)::int n from orders')).resolves.toEqual([{ n: 1010 }]);
});

test('the private server killed with -9 right after its promotion is picked up on the same timeline', async () => {
  const scene = await makeScene({ standby: false });
  const { deps, configFile } = scene;
  const { ref, plan } = await scene.makeSandbox('first');
  const dallas = scene.step('dallas', RUN);
  await promotion.createFenceNode(deps)(dallas);
  await promotion.createKeepOldData(deps)(dallas);
  await promotion.createSwapIn(deps)({ ...dallas, ref });
  expect(await steps.killAt('end-recovery:promoted', 'endRecovery', configFile, { ...dallas, ref, plan })).toBe(true);
  const server = await readPostmaster(scene.dallas.dataDir);
  expect(server).toMatchObject({ state: 'running', socketDir: socketDirFor(scene.dallas.dataDir, RUN) });
  if (server.state === 'running') process.kill(server.pid, 'SIGKILL');
  await waitFor(async () => (await readPostmaster(scene.dallas.dataDir)).state === 'stopped');
  await expect(promotion.createEndRecovery(deps)({ ...dallas, ref, plan })).resolves.toMatchObject({
    outcome: 'already-promoted',
    timeline: 2,
  });
  await promotion.createStartNode(deps)(dallas);
  await expect(scene.dallas.query('select count(*)::int n from orders')).resolves.toEqual([{ n: 1010 }]);
});
