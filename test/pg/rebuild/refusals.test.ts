/**
 * Scenario: a rebuild that must not happen, or that goes wrong in the middle. Verified: (1) it is refused with the reason and nothing is touched; (2) a copy that runs out of space,
 * or whose peer dies, fails with the facts, the safety copy is intact, and a retry or an undo works.
 */
import { mkdir, readdir, rm, rmdir, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { createRebuildActivities } from '../../../activities/postgres/rebuild/index.js';
import { keptDataDirFor } from '../../../shared/ids.js';
import { directoryChecksums } from '../../support/checksums.js';
import { destroyAllClusters, startCluster } from '../../support/cluster.js';
import { waitFor } from '../../support/promotion-scene.js';
import { destroyRebuildScenes, makeRebuildScene, rebuildDeps, type RebuildScene } from '../../support/rebuild-scene.js';

jest.setTimeout(240_000);
afterAll(async () => {
  await destroyRebuildScenes();
  await destroyAllClusters();
});

const RUN = '01999999-6666-7000';
const message = (text: string) => expect.stringContaining(text) as string;

describe('a plan is refused', () => {
  let scene: RebuildScene;
  beforeAll(async () => {
    scene = await makeRebuildScene();
  });
  afterAll(() => scene.destroy());

  test('for a node that the config does not know', async () => {
    await expect(scene.plan('boston', RUN)).rejects.toMatchObject({ type: 'NotFound' });
  });

  test('for the primary', async () => {
    await expect(scene.plan('dallas', RUN)).rejects.toMatchObject({
      type: 'IdentityMismatch',
      message: message('accepts writes'),
    });
  });

  test('for a node that a router sends writes to; a router that does not answer is a warning', async () => {
    const deps = rebuildDeps(scene.config);
    const open = jest.fn().mockResolvedValue({
      servers: () =>
        Promise.resolve([{ instance: 'lb1', server: 's', node: 'chicago', state: 'up', check: '', sessions: 1 }]),
      close: () => Promise.resolve(),
    });
    const routed = createRebuildActivities({
      ...deps,
      routing: () => ({ kind: 'haproxy', label: 'haproxy lb1', limits: [], open }),
    });
    const input = {
      environment: 'lab',
      node: 'chicago',
      run: 'lab/change',
      runId: RUN,
      method: 'auto' as const,
      rateLimitKbPerSecond: null,
    };
    await expect(routed.planRebuild(input)).rejects.toMatchObject({
      type: 'IdentityMismatch',
      message: message('lb1'),
    });
    open.mockRejectedValue(new Error('no answer'));
    const plan = await routed.planRebuild(input);
    expect(plan.warnings.join()).toContain('could not be asked');
  });

  test('when a rewind is asked for and there is nothing to rewind from', async () => {
    await expect(scene.plan('chicago', RUN, { method: 'rewind' })).rejects.toMatchObject({
      type: 'PreconditionFailed',
      message: message('both on timeline 1'),
    });
  });

  test('when the standby would not be let in, and when no walsender is free', async () => {
    const { dallas } = scene;
    await dallas.query("create role intruder login password 'x'");
    const config = structuredClone(scene.config);
    config.environments['lab']!.postgres.replicationUser = 'intruder';
    const activities = createRebuildActivities(rebuildDeps(config));
    await expect(
      activities.planRebuild({
        environment: 'lab',
        node: 'chicago',
        run: 'lab/change',
        runId: RUN,
        method: 'auto',
        rateLimitKbPerSecond: null,
      }),
    ).rejects.toMatchObject({ type: 'PreconditionFailed', message: message('replication-login') });
  });

  test('when the peer is of another system, or down', async () => {
    const { chicago, dallas } = scene;
    const foreign = await startCluster();
    const config = structuredClone(scene.config);
    config.environments['lab']!.nodes[0]!.port = foreign.port;
    const activities = createRebuildActivities(rebuildDeps(config));
    const input = {
      environment: 'lab',
      node: 'chicago',
      run: 'lab/change',
      runId: RUN,
      method: 'auto' as const,
      rateLimitKbPerSecond: null,
    };
    await expect(activities.planRebuild(input)).rejects.toMatchObject({ type: 'IdentityMismatch' });
    await foreign.destroy();
    await expect(activities.planRebuild(input)).rejects.toMatchObject({
      type: 'PreconditionFailed',
      message: message('may be the only whole copy'),
    });
    await expect(chicago.query('select pg_is_in_recovery() r')).resolves.toEqual([{ r: true }]);
    await expect(dallas.query('select 1 x')).resolves.toEqual([{ x: 1 }]);
  });

  test('when files that are no cluster stand in the data directory', async () => {
    const config = structuredClone(scene.config);
    const dir = path.join(scene.dir, 'strange');
    config.environments['lab']!.nodes[1]!.dataDir = dir;
    const activities = createRebuildActivities(rebuildDeps(config));
    await expect(
      activities.planRebuild({
        environment: 'lab',
        node: 'chicago',
        run: 'lab/change',
        runId: RUN,
        method: 'auto',
        rateLimitKbPerSecond: null,
      }),
    ).rejects.toMatchObject({ type: 'PreconditionFailed', message: message('a server answers at its address, but') });
  });
});

describe('a step is refused', () => {
  test('when the plan is of other paths, when the place of the copy is taken, when the node became primary', async () => {
    const scene = await makeRebuildScene();
    const { activities, chicago, dallas } = scene;
    const plan = await scene.plan('chicago', RUN);
    const step = scene.step(plan, RUN);
    const moved = { ...step, plan: { ...plan, node: { ...plan.node, dataDir: '/somewhere/else' } } };
    await expect(activities.stopStandby(moved)).rejects.toMatchObject({ type: 'IdentityMismatch' });
    const renamed = { ...step, plan: { ...plan, safetyCopy: { ...plan.safetyCopy, name: '/x' } } };
    await expect(activities.takeSafetyCopy(renamed)).rejects.toMatchObject({ type: 'IdentityMismatch' });
    await activities.stopStandby(step);
    const kept = keptDataDirFor(chicago.dataDir, RUN);
    await mkdir(kept);
    const old = await directoryChecksums(chicago.dataDir);
    await expect(activities.takeSafetyCopy(step)).rejects.toMatchObject({
      type: 'IdentityMismatch',
      message: message('no note of ours'),
    });
    expect(await directoryChecksums(chicago.dataDir)).toEqual(old);
    await rmdir(kept);
    await dallas.stop();
    await expect(activities.takeSafetyCopy(step)).rejects.toMatchObject({ type: 'DatabaseUnavailable' });
    await chicago.start();
    await expect(activities.stopStandby(step)).rejects.toMatchObject({ type: 'DatabaseUnavailable' });
    await chicago.query('select pg_promote(true)');
    await expect(activities.stopStandby(step)).rejects.toMatchObject({ type: 'IdentityMismatch' });
    await expect(chicago.query('select pg_is_in_recovery() r')).resolves.toEqual([{ r: false }]);
    await scene.destroy();
  });
});

describe('a copy that goes wrong', () => {
  test('because the peer dies says so, keeps the safety copy, and goes on when it is retried', async () => {
    const scene = await makeRebuildScene({ rows: 50_000 });
    const { activities, dallas } = scene;
    const plan = await scene.plan('chicago', RUN, { rateLimitKbPerSecond: 4096 });
    const step = scene.step(plan, RUN);
    await activities.stopStandby(step);
    await activities.takeSafetyCopy(step);
    const old = await directoryChecksums(plan.safetyCopy.name);
    const copying = activities.copyStandby(step).catch((error: unknown) => error);
    const size = 'select coalesce(max(backup_streamed), 0)::int n from pg_stat_progress_basebackup';
    await waitFor(async () => Number((await dallas.query(size))[0]?.['n']) > 1_000_000);
    await dallas.stop('immediate');
    await expect(copying).resolves.toMatchObject({
      type: 'CommandFailed',
      details: [{ hint: message(plan.safetyCopy.name) }],
    });
    expect(await directoryChecksums(plan.safetyCopy.name)).toEqual(old);
    await expect(activities.startStandby(step)).rejects.toMatchObject({ type: 'PreconditionFailed' });
    await dallas.start();
    await expect(activities.copyStandby(step)).resolves.toMatchObject({ outcome: 'copied' });
    await activities.startStandby(step);
    await scene.destroy();
  });

  test('because the place cannot be written is undone: the old data come back', async () => {
    const scene = await makeRebuildScene();
    const { activities, chicago } = scene;
    const plan = await scene.plan('chicago', RUN);
    const step = scene.step(plan, RUN);
    await activities.stopStandby(step);
    const old = await directoryChecksums(chicago.dataDir);
    await activities.takeSafetyCopy(step);
    const work = `${chicago.dataDir}.new-01999999-6666`;
    await writeFile(work, 'a file in the way');
    await expect(activities.copyStandby(step)).rejects.toThrow();
    await rm(work);
    await expect(activities.returnSafetyCopy(step)).resolves.toEqual({ outcome: 'returned', setAside: null });
    expect(await directoryChecksums(chicago.dataDir)).toEqual(old);
    await activities.startStandby(step);
    expect((await readdir(path.dirname(chicago.dataDir))).filter((name) => name.startsWith('data')).sort()).toEqual([
      'data',
    ]);
    await scene.destroy();
  });
});

test('space that is not there is told before anything is touched', async () => {
  const { requireSpace } = await import('../../../activities/postgres/rebuild/plan-space.js');
  await expect(requireSpace('/', 2 ** 60)).rejects.toMatchObject({ type: 'SpaceMissing', message: message('free') });
});
