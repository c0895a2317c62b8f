/**
 * Scenario: a sandbox paused before a mistake becomes production, with real servers. Verified: (1) the rows are back and the mistake is not;
 * (2) every step may be run twice; (3) production archives on the new timeline; (4) the standby is rebuilt and streams; (5) undo brings the old
 * cluster back byte for byte; (6) a second promotion takes a timeline that nobody used.
 */
import { readFile } from 'node:fs/promises';
import path from 'node:path';

import { createAbandonTimeline } from '../../../activities/backup-store/abandon-timeline.js';
import * as promotion from '../../../activities/postgres/promotion/index.js';
import { createRebuildStandby } from '../../../activities/postgres/standby/rebuild-standby.js';
import { createVerifyWrites } from '../../../activities/routing/verify-writes.js';
import type { PromotionResult } from '../../../shared/contracts/promotion.js';
import { directoryChecksums } from '../../support/checksums.js';
import { destroyAllClusters } from '../../support/cluster.js';
import { destroyAllScenes, makeScene, type Scene } from '../../support/promotion-scene.js';

jest.setTimeout(180_000);
afterAll(async () => {
  await destroyAllScenes();
  await destroyAllClusters();
});

type Sandbox = Awaited<ReturnType<Scene['makeSandbox']>>;
const RUN = 'aaaaaaaa-1111';

/** Runs one step twice: the second time finds the work done. */
async function twice<R>(step: () => Promise<R>): Promise<[R, R]> {
  return [await step(), await step()];
}

async function promote(scene: Scene, sandbox: Sandbox, runId: string, plan = sandbox.plan) {
  const { deps } = scene;
  const { ref } = sandbox;
  const dallas = scene.step('dallas', runId);
  const promotionPlan = await promotion.createPlanPromotion(deps)({
    environment: 'lab',
    run: 'lab/change',
    runId,
    ref,
    plan,
  });
  const tail = await twice(() => promotion.createCaptureTail(deps)(dallas));
  const fenced = await twice(() => promotion.createFenceNode(deps)(dallas));
  if (scene.chicago) await twice(() => promotion.createFenceNode(deps)(scene.step('chicago', runId)));
  const oldChecksums = await directoryChecksums(dallas.expect.dataDir);
  const kept = await twice(() => promotion.createKeepOldData(deps)(dallas));
  const swapped = await twice(() => promotion.createSwapIn(deps)({ ...dallas, ref }));
  const ended = await twice(() => promotion.createEndRecovery(deps)({ ...dallas, ref, plan }));
  const started = await twice(() => promotion.createStartNode(deps)(dallas));
  return { promotionPlan, tail, fenced, kept, swapped, ended, started, oldChecksums };
}

describe('a promotion', () => {
  let scene: Scene;
  let sandbox: Sandbox;
  let steps: Awaited<ReturnType<typeof promote>>;

  beforeAll(async () => {
    scene = await makeScene();
    sandbox = await scene.makeSandbox('first');
    steps = await promote(scene, sandbox, RUN);
  });

  test('says in its plan who is who', () => {
    expect(steps.promotionPlan).toMatchObject({
      primary: { name: 'dallas', state: 'running', role: 'primary', timeline: 1 },
      standbys: [{ name: 'chicago', role: 'standby', state: 'running' }],
      lostUntil: null,
    });
    expect(steps.promotionPlan.hash).toMatch(/^[0-9a-f]{64}$/);
  });

  test('does every step once, however often it is asked', () => {
    expect(steps.tail.map((result) => result.outcome)).toEqual(['captured', 'captured']);
    expect(steps.fenced.map((result) => result.outcome)).toEqual(['stopped', 'already-stopped']);
    expect(steps.kept.map((result) => result.outcome)).toEqual(['kept', 'already-kept']);
    expect(steps.kept[0].clusterState).toBe('shut down');
    expect(steps.swapped.map((result) => result.outcome)).toEqual(['swapped', 'already-swapped']);
    expect(steps.ended.map((result) => result.outcome)).toEqual(['promoted', 'already-promoted']);
    expect(steps.ended.map((result) => result.timeline)).toEqual([2, 2]);
    expect(steps.started.map((result) => result.outcome)).toEqual(['started', 'already-running']);
  });

  test('brings the rows back, those of the kept interval too, and not what came after', async () => {
    await expect(scene.dallas.query('select count(*)::int n, max(id) m from orders')).resolves.toEqual([
      { n: 1010, m: 1010 },
    ]);
    await expect(scene.dallas.query("select to_regclass('after_the_mistake') t")).resolves.toEqual([{ t: null }]);
  });

  test('leaves no setting of the sandbox or of the recovery behind', async () => {
    const rows = await scene.dallas.query(
      "select name from pg_settings where source = 'command line' and name not in ('data_directory', 'config_file')",
    );
    expect(rows).toEqual([]);
    await expect(
      scene.dallas.query(
        "select current_setting('archive_mode') a, current_setting('port')::int p, current_setting('default_transaction_read_only') r",
      ),
    ).resolves.toEqual([{ a: 'on', p: scene.dallas.port, r: 'off' }]);
    const auto = await readFile(path.join(scene.dallas.dataDir, 'postgresql.auto.conf'), 'utf8');
    expect(auto).not.toMatch(/recovery_target|restore_command|primary_conninfo/);
    expect(await readFile(path.join(scene.dallas.dataDir, 'postgresql.conf'), 'utf8')).toContain('# kept comment');
  });

  test('keeps the old data untouched', async () => {
    expect(await directoryChecksums(steps.kept[0].keptDataDir)).toEqual(steps.oldChecksums);
  });

  test('takes writes at the write address, on the new timeline', async () => {
    const result = await createVerifyWrites(scene.deps)({
      environment: 'lab',
      expectNode: 'dallas',
      expectTimeline: 2,
    });
    expect(result.checks.filter((check) => !check.ok)).toEqual([]);
    expect(result.node).toBe('dallas');
    await expect(
      scene.dallas.query("select count(*)::int n from pgr.heartbeat where source = 'verify-writes'"),
    ).resolves.toEqual([{ n: 1 }]);
    await expect(scene.dallas.query("select to_regclass('pgr.write_probe') t")).resolves.toEqual([{ t: null }]);
    await expect(
      createVerifyWrites(scene.deps)({ environment: 'lab', expectNode: 'chicago', expectTimeline: 2 }),
    ).rejects.toMatchObject({ type: 'EvidenceFailed' });
  });

  test('archives on the new timeline and takes a fresh base of it', async () => {
    const step = scene.step('dallas', RUN);
    const [first, second] = await twice(() => promotion.createRebaseline(scene.deps)(step));
    expect(first).toMatchObject({ timeline: 2 });
    expect(second.baseId).toBe(first.baseId);
    expect(first.archivedSegment).toMatch(/^00000002/);
    await expect(scene.store.walPresence(first.archivedSegment)).resolves.toBe('found');
    await expect(scene.store.walPresence('00000002.history')).resolves.toBe('found');
  });

  test('rebuilds the standby, which streams the new timeline with its own port', async () => {
    const input = { ...scene.step('chicago', RUN), from: 'dallas' };
    const [first, second] = await twice(() => createRebuildStandby(scene.deps)(input));
    expect(first).toMatchObject({ outcome: 'rebuilt', timeline: 2 });
    expect(second).toMatchObject({ outcome: 'already-streaming', timeline: 2 });
    await expect(scene.chicago!.query('select count(*)::int n, pg_is_in_recovery() r from orders')).resolves.toEqual([
      { n: 1010, r: true },
    ]);
    await expect(scene.dallas.query('select state, application_name from pg_stat_replication')).resolves.toEqual([
      { state: 'streaming', application_name: 'chicago' },
    ]);
  });

  test('clears up after itself and keeps the marker', async () => {
    const outcomes = await twice(() => promotion.createFinishPromotion(scene.deps)({ ref: sandbox.ref }));
    expect(outcomes).toEqual([{ outcome: 'finished' }, { outcome: 'finished' }]);
  });

  test('is undone: the old cluster is back byte for byte, and the promoted data are aside', async () => {
    const { deps } = scene;
    const done = {
      outcome: 'promoted',
      environment: 'lab',
      plan: steps.promotionPlan,
      recovery: sandbox.plan,
      timeline: 2,
      rebuilt: ['chicago'],
    } as unknown as PromotionResult;
    const plan = await promotion.createPlanUndo(deps)({
      environment: 'lab',
      ofRun: 'lab/change',
      promotion: done,
      runId: 'bbbbbbbb-2222',
    });
    expect(plan).toMatchObject({ primary: { name: 'dallas', timeline: 1 }, standbys: [{ name: 'chicago' }] });
    const dallas = scene.step('dallas', RUN);
    const chicago = scene.step('chicago', RUN);
    for (const step of [dallas, chicago]) await twice(() => promotion.createFenceNode(deps)(step));
    const out = await twice(() => promotion.createSwapOut(deps)(dallas));
    expect(out.map((result) => result.outcome)).toEqual(['swapped-out', 'nothing-there']);
    const back = await twice(() => promotion.createReturnOldData(deps)(dallas));
    expect(back.map((result) => result.outcome)).toEqual(['returned', 'already-there']);
    // An undo that is given up half-way: the promoted data come back as they are, and the undo may be done again.
    await expect(promotion.createKeepOldData(deps)(dallas)).resolves.toMatchObject({ outcome: 'kept' });
    const again = await twice(() => promotion.createSwapIn(deps)({ ...dallas, ref: sandbox.ref }));
    expect(again.map((result) => result.outcome)).toEqual(['swapped', 'already-swapped']);
    await expect(promotion.createStartNode(deps)(dallas)).resolves.toMatchObject({ role: 'primary', timeline: 2 });
    await promotion.createFenceNode(deps)(dallas);
    await promotion.createSwapOut(deps)(dallas);
    await promotion.createReturnOldData(deps)(dallas);
    expect(await directoryChecksums(scene.dallas.dataDir)).toEqual(steps.oldChecksums);
    await expect(createAbandonTimeline(deps)({ environment: 'lab', timeline: 2, run: 'lab/change' })).resolves.toEqual({
      outcome: 'marked',
    });
    await expect(promotion.createStartNode(deps)(dallas)).resolves.toMatchObject({ role: 'primary', timeline: 1 });
    const backChicago = await twice(() => promotion.createReturnOldData(deps)(chicago));
    expect(backChicago.map((result) => result.outcome)).toEqual(['returned', 'already-there']);
    await expect(promotion.createStartNode(deps)(chicago)).resolves.toMatchObject({ role: 'standby' });
    await expect(scene.dallas.query('select count(*)::int n from orders')).resolves.toEqual([{ n: 0 }]);
    await createVerifyWrites(deps)({ environment: 'lab', expectNode: 'dallas', expectTimeline: 1 });
  });

  test('may follow an undone one: the new timeline is one that nobody used', async () => {
    const second = await scene.makeSandbox('second');
    const again = await promote(scene, second, 'cccccccc-3333');
    expect(again.ended[0]).toMatchObject({ outcome: 'promoted', timeline: 3 });
    await expect(scene.dallas.query('select count(*)::int n from orders')).resolves.toEqual([{ n: 10 }]);
  });
});
