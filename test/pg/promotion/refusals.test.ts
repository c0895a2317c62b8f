/**
 * Scenario: something is not as the plan says. Verified for each case: (1) the step refuses with the fact; (2) nothing was stopped, renamed or
 * written. Also the cases that are no refusals: the old primary crashed, or is gone altogether.
 */
import { shortRunId } from '../../../shared/ids.js';
import { rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import path from 'node:path';

import { createCheckEnvironment } from '../../../activities/postgres/check-environment.js';
import * as promotion from '../../../activities/postgres/promotion/index.js';
import { readPostmaster } from '../../../activities/postgres/postmaster.js';
import { changeMarker, readMarker } from '../../../activities/postgres/sandbox/marker.js';
import { placeOf } from '../../../activities/postgres/sandbox/place.js';
import { createRebuildStandby } from '../../../activities/postgres/standby/rebuild-standby.js';
import { appendConf, destroyAllClusters } from '../../support/cluster.js';
import { destroyAllScenes, makeScene, waitFor, type Scene } from '../../support/promotion-scene.js';

jest.setTimeout(180_000);
afterAll(async () => {
  await destroyAllScenes();
  await destroyAllClusters();
});

const RUN = 'eeeeeeee-5555';
const stillThere = async (scene: Scene) => {
  await expect(readPostmaster(scene.dallas.dataDir)).resolves.toMatchObject({ state: 'running' });
  await expect(scene.dallas.query('select pg_is_in_recovery() r')).resolves.toEqual([{ r: false }]);
};

describe('while production runs', () => {
  let scene: Scene;
  let sandbox: Awaited<ReturnType<Scene['makeSandbox']>>;
  beforeAll(async () => {
    scene = await makeScene();
    sandbox = await scene.makeSandbox('first');
  });
  const plan = (change: object = {}) =>
    promotion.createPlanPromotion(scene.deps)({
      environment: 'lab',
      run: 'lab/change',
      runId: RUN,
      ref: sandbox.ref,
      plan: { ...sandbox.plan, ...change },
    });

  test('a step for another system identifier touches nothing', async () => {
    const wrong = { ...scene.step('dallas', RUN) };
    wrong.expect = { ...wrong.expect, systemIdentifier: '7000000000000000001' };
    for (const create of [promotion.createFenceNode, promotion.createCaptureTail]) {
      await expect(create(scene.deps)(wrong)).rejects.toMatchObject({ type: 'IdentityMismatch' });
    }
    await stillThere(scene);
  });

  test('a step for another data directory or host touches nothing', async () => {
    const step = scene.step('dallas', RUN);
    for (const expectation of [{ dataDir: '/somewhere/else' }, { host: 'chicago' }]) {
      const wrong = { ...step, expect: { ...step.expect, ...expectation } };
      await expect(promotion.createFenceNode(scene.deps)(wrong)).rejects.toMatchObject({ type: 'IdentityMismatch' });
      await expect(promotion.createKeepOldData(scene.deps)(wrong)).rejects.toMatchObject({ type: 'IdentityMismatch' });
    }
    await stillThere(scene);
  });

  test('the data of a running server are not renamed', async () => {
    await expect(promotion.createKeepOldData(scene.deps)(scene.step('dallas', RUN))).rejects.toMatchObject({
      type: 'PreconditionFailed',
    });
    await stillThere(scene);
  });

  test('nothing is swapped in while the old data are not kept', async () => {
    await expect(
      promotion.createSwapIn(scene.deps)({ ...scene.step('dallas', RUN), ref: sandbox.ref }),
    ).rejects.toMatchObject({ type: 'SafetyCopyMissing' });
    await stillThere(scene);
  });

  test('swap-out without kept data leaves the data directory alone: it is the old cluster', async () => {
    await expect(promotion.createSwapOut(scene.deps)(scene.step('dallas', RUN))).resolves.toEqual({
      outcome: 'nothing-there',
      setAsideDir: null,
      timeline: null,
    });
    await stillThere(scene);
  });

  test('a standby that accepts writes is not rebuilt over', async () => {
    const input = { ...scene.step('dallas', RUN), from: 'dallas' };
    await expect(createRebuildStandby(scene.deps)(input)).rejects.toMatchObject({ type: 'IdentityMismatch' });
    const fromStandby = { ...scene.step('dallas', RUN), from: 'chicago' };
    await expect(createRebuildStandby(scene.deps)(fromStandby)).rejects.toMatchObject({ type: 'PreconditionFailed' });
    await stillThere(scene);
  });

  test('a plan for another recovery plan or another cluster is refused', async () => {
    await expect(plan({ hash: 'other' })).rejects.toMatchObject({ type: 'IdentityMismatch' });
    await expect(plan({ systemIdentifier: '7000000000000000001' })).rejects.toMatchObject({ type: 'IdentityMismatch' });
  });

  test('a sandbox that does not stand where the plan stops is tainted', async () => {
    const kept = { xid: '1', lsn: 'F/0', time: '2026-01-01T00:00:00.000000Z' };
    await expect(plan({ boundary: { kept, dropped: null } })).rejects.toMatchObject({ type: 'SandboxTainted' });
  });

  test('a sandbox that was opened for writes is tainted', async () => {
    const place = placeOf(scene.config, sandbox.ref);
    await changeMarker(place, { state: 'tainted' });
    await expect(plan()).rejects.toMatchObject({ type: 'SandboxTainted' });
    await changeMarker(place, { state: 'paused' });
  });

  test('an archive that knows a timeline that the sandbox does not is refused', async () => {
    const history = path.join(scene.store.walDir, '00000002.history');
    await writeFile(history, '1\t0/3000000\tsomebody else\n');
    await expect(plan()).rejects.toMatchObject({
      type: 'PreconditionFailed',
      message: expect.stringContaining('00000002.history') as string,
    });
    await rm(history);
  });

  test('a leftover of an earlier run at the place of the kept data is refused', async () => {
    const place = `${scene.dallas.dataDir}.kept-${shortRunId(RUN)}`;
    await writeFile(place, '');
    await expect(plan()).rejects.toMatchObject({
      type: 'PreconditionFailed',
      message: expect.stringContaining('.kept-') as string,
    });
    await rm(place);
  });

  test('pgr check shows what is wrong, and what cannot be read is not ok', async () => {
    const { checks } = await createCheckEnvironment(scene.deps)({ environment: 'lab' });
    const bad = checks
      .filter((check) => !check.ok)
      .map((check) => check.check)
      .sort();
    // The scene has fsync off, no heartbeats and no base in its store; all else is well.
    expect(bad).toEqual(['base-age', 'heartbeat', 'last-archived-commit', 'setting:fsync', 'window']);
    expect(checks.find((check) => check.check === 'streaming:chicago')).toMatchObject({ ok: true });
    expect(checks.find((check) => check.check === 'archiver')).toMatchObject({ ok: true });
  });
});

test('production that does not archive is refused before anything happens', async () => {
  const scene = await makeScene({ standby: false });
  const { ref, plan } = await scene.makeSandbox('first');
  const planned = () =>
    promotion.createPlanPromotion(scene.deps)({ environment: 'lab', run: 'lab/change', runId: RUN, ref, plan });
  await appendConf(scene.dallas, ["archive_command = '/bin/true'"]);
  // The running server does not know it yet: what counts after the swap are its files.
  await expect(planned()).rejects.toMatchObject({ type: 'ArchiveFailing' });
  await stillThere(scene);
});

test('a primary that crashed is promoted over: its tail is archived as far as it can be, its data are kept', async () => {
  const scene = await makeScene({ standby: false });
  const { deps } = scene;
  const { ref, plan } = await scene.makeSandbox('first');
  await scene.dallas.stop('immediate');
  const step = scene.step('dallas', RUN);
  const planned = await promotion.createPlanPromotion(deps)({
    environment: 'lab',
    run: 'lab/change',
    runId: RUN,
    ref,
    plan,
  });
  expect(planned.primary).toMatchObject({ state: 'down', role: 'primary' });
  expect(planned.warnings.join()).toContain('dallas is down');
  await expect(promotion.createCaptureTail(deps)(step)).resolves.toMatchObject({
    outcome: 'primary-down',
    note: expect.stringContaining('in production') as string,
  });
  await expect(promotion.createFenceNode(deps)(step)).resolves.toMatchObject({ outcome: 'already-stopped' });
  await expect(promotion.createKeepOldData(deps)(step)).resolves.toMatchObject({
    outcome: 'kept',
    clusterState: 'in production',
  });
  await promotion.createSwapIn(deps)({ ...step, ref });
  await promotion.createEndRecovery(deps)({ ...step, ref, plan });
  await expect(promotion.createStartNode(deps)(step)).resolves.toMatchObject({ role: 'primary', timeline: 2 });
});

test('a primary whose data directory is gone is replaced, and the undo says that it cannot', async () => {
  const scene = await makeScene({ standby: false });
  const { deps } = scene;
  const { ref, plan } = await scene.makeSandbox('first');
  await scene.dallas.stop('fast');
  await rm(scene.dallas.dataDir, { recursive: true });
  const step = scene.step('dallas', RUN);
  const place = placeOf(scene.config, ref);
  // The configuration comes from the base then; the archive settings of the scene are in it.
  const planned = await promotion.createPlanPromotion(deps)({
    environment: 'lab',
    run: 'lab/change',
    runId: RUN,
    ref,
    plan,
  });
  expect(planned.warnings.join()).toContain('`pgr undo` will not be possible');
  expect(planned.sandboxDataDir).toBe(place.dataDir);
  await expect(promotion.createKeepOldData(deps)(step)).resolves.toMatchObject({
    outcome: 'kept',
    clusterState: 'absent',
  });
  await expect(promotion.createSwapIn(deps)({ ...step, ref })).resolves.toMatchObject({ settingsFrom: 'base' });
  await promotion.createEndRecovery(deps)({ ...step, ref, plan });
  await promotion.createStartNode(deps)(step);
  await expect(scene.dallas.query('select count(*)::int n from orders')).resolves.toEqual([{ n: 1010 }]);
  await promotion.createFenceNode(deps)(step);
  await expect(promotion.createReturnOldData(deps)(step)).rejects.toMatchObject({ type: 'SafetyCopyMissing' });
});

test('an old primary is not fenced while something still answers at its address', async () => {
  const scene = await makeScene({ standby: false });
  const { deps, dallas } = scene;
  const step = scene.step('dallas', RUN);
  await promotion.createFenceNode(deps)(step);
  const stranger = createServer();
  await new Promise<void>((resolve) => stranger.listen(dallas.port, '127.0.0.1', resolve));
  try {
    await expect(promotion.createFenceNode(deps)(step)).rejects.toMatchObject({
      type: 'FenceFailed',
      message: expect.stringContaining('still answers') as string,
    });
  } finally {
    await new Promise((resolve) => stranger.close(resolve));
  }
  await expect(promotion.createFenceNode(deps)(step)).resolves.toMatchObject({ outcome: 'already-stopped' });
});

test('a sandbox whose server ended by itself is not promoted', async () => {
  const scene = await makeScene({ standby: false });
  const { deps } = scene;
  const sandbox = await scene.makeSandbox('first');
  const { ref } = sandbox;
  const step = scene.step('dallas', RUN);
  await promotion.createFenceNode(deps)(step);
  await promotion.createKeepOldData(deps)(step);
  await sandbox.stopSandbox();
  await waitFor(async () => (await readPostmaster(placeOf(scene.config, ref).dataDir)).state === 'stopped');
  await expect(promotion.createSwapIn(deps)({ ...step, ref })).rejects.toMatchObject({ type: 'PreconditionFailed' });
  await promotion.createReturnOldData(deps)(step);
  await expect(promotion.createStartNode(deps)(step)).resolves.toMatchObject({ role: 'primary', timeline: 1 });
});

test('an abort while recovery cannot end (the archive refuses) stops the private server and brings the old cluster back', async () => {
  const scene = await makeScene({ standby: false });
  const { deps } = scene;
  const { ref, plan } = await scene.makeSandbox('first');
  const step = scene.step('dallas', RUN);
  await promotion.createFenceNode(deps)(step);
  await promotion.createKeepOldData(deps)(step);
  await promotion.createSwapIn(deps)({ ...step, ref });
  // The store says that nothing arrives; the attempt is given up while its private server lives.
  const deaf = {
    ...deps,
    store: () => Promise.resolve({ ...scene.store, walPresence: () => Promise.reject(new Error('the store is down')) }),
  };
  await expect(promotion.createEndRecovery(deaf)({ ...step, ref, plan })).rejects.toThrow('the store is down');
  await expect(readPostmaster(scene.dallas.dataDir)).resolves.toMatchObject({ state: 'running' });
  await expect(promotion.createSwapOut(deps)(step)).resolves.toMatchObject({ outcome: 'swapped-out', timeline: 2 });
  await expect(promotion.createSwapOut(deps)(step)).resolves.toMatchObject({ outcome: 'nothing-there', timeline: 2 });
  await expect(readMarker(placeOf(scene.config, ref))).resolves.toMatchObject({ state: 'stopped' });
  await promotion.createReturnOldData(deps)(step);
  await expect(promotion.createStartNode(deps)(step)).resolves.toMatchObject({ role: 'primary', timeline: 1 });
});
