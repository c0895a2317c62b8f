/**
 * Scenario: the worker dies by SIGKILL at every fault point of a rebuild, by full copy and by rewind, and the step is run again. Verified: (1) the end is that of an
 * undisturbed run; (2) the safety copy is never changed; (3) a rewind that is cut half-way is never started from and never goes on on what it left; (4) undo, killed as well.
 */
import { readdir } from 'node:fs/promises';
import path from 'node:path';

import { shortRunId } from '../../../shared/ids.js';
import { directoryChecksums } from '../../support/checksums.js';
import { destroyAllClusters } from '../../support/cluster.js';
import { createKillableSteps, type KillableSteps } from '../../support/killed-step.js';
import { waitFor } from '../../support/promotion-scene.js';
import { jobPid, jobsBegun, killJob } from '../../support/rebuild-jobs.js';
import { destroyRebuildScenes, makeRebuildScene } from '../../support/rebuild-scene.js';

jest.setTimeout(300_000);

let steps: KillableSteps;
beforeAll(async () => {
  steps = await createKillableSteps('rebuild-child');
});
afterEach(destroyRebuildScenes);
afterAll(async () => {
  await destroyAllClusters();
  await steps.destroy();
});

const RUN = '01999999-5555-7000';

test('a full copy and its undo, killed at every fault point, end as if undisturbed', async () => {
  const scene = await makeRebuildScene();
  const { activities, chicago, dallas, configFile } = scene;
  const plan = await scene.plan('chicago', RUN, { rateLimitKbPerSecond: 8192 });
  const step = scene.step(plan, RUN);
  const kill = async (fault: string, activity: string) => {
    expect([fault, await steps.killAt(fault, activity, configFile, step)]).toEqual([fault, true]);
  };
  await kill('rebuild:stopped', 'stopStandby');
  await expect(activities.stopStandby(step)).resolves.toMatchObject({ outcome: 'already-stopped' });
  const old = await directoryChecksums(chicago.dataDir);
  for (const fault of ['snapshot:noted', 'snapshot:taken', 'rebuild:copied-aside']) await kill(fault, 'takeSafetyCopy');
  await expect(activities.takeSafetyCopy(step)).resolves.toMatchObject({ outcome: 'already-taken' });
  await kill('rebuild:copying', 'copyStandby');
  // The copy is a job: it went on without us, and nothing is copied twice.
  for (const fault of ['rebuild:copied', 'rebuild:renamed']) await kill(fault, 'copyStandby');
  await activities.copyStandby(step);
  expect(await jobsBegun(scene.config.stateDir, 'base')).toBe(1);
  await kill('rebuild:started', 'startStandby');
  await expect(activities.startStandby(step)).resolves.toMatchObject({ timeline: 1 });
  expect(await directoryChecksums(plan.safetyCopy.name)).toEqual(old);
  await expect(dallas.query('select count(*)::int n from pg_replication_slots')).resolves.toEqual([{ n: 1 }]);
  await activities.stopStandby(step);
  for (const fault of ['snapshot:set-aside', 'snapshot:returned', 'rebuild:returned'])
    await kill(fault, 'returnSafetyCopy');
  await expect(activities.returnSafetyCopy(step)).resolves.toMatchObject({ outcome: 'already-there' });
  expect(await directoryChecksums(chicago.dataDir)).toEqual(old);
  const left = (await readdir(path.dirname(chicago.dataDir))).filter((name) => name.startsWith('data')).sort();
  expect(left).toEqual(['data', `data.undone-${shortRunId(RUN)}`]);
});

test('a copy whose job is killed is made again from the beginning, by itself', async () => {
  const scene = await makeRebuildScene();
  const { activities, configFile } = scene;
  const plan = await scene.plan('chicago', RUN, { rateLimitKbPerSecond: 4096 });
  const step = scene.step(plan, RUN);
  await activities.stopStandby(step);
  await activities.takeSafetyCopy(step);
  expect(await steps.killAt('rebuild:copying', 'copyStandby', configFile, step)).toBe(true);
  await killJob(scene.config.stateDir, 'base-1');
  await expect(activities.copyStandby(step)).resolves.toMatchObject({ outcome: 'copied' });
  expect(await jobsBegun(scene.config.stateDir, 'base')).toBe(2);
  await activities.startStandby(step);
});

test('a rewind that is cut half-way is made again on a new copy of the kept data, never started from', async () => {
  const scene = await makeRebuildScene({ rows: 200_000 });
  const { activities, dallas, chicago, configFile } = scene;
  await scene.splitAndStop('fast');
  // Much to fetch: the rewind can be caught in the middle; and what a checkpoint would recycle stays.
  await chicago.query("alter system set wal_keep_size = '4GB'");
  await chicago.query('select pg_reload_conf()');
  await chicago.query('create table more as select g, repeat(md5(g::text), 20) note from generate_series(1, 200000) g');
  await chicago.query('checkpoint');
  const plan = await scene.plan('dallas', RUN);
  const step = scene.step(plan, RUN);
  await activities.takeSafetyCopy(step);
  const old = await directoryChecksums(plan.safetyCopy.name);
  const running = steps.run('copyStandby', configFile, step);
  await waitFor(async () => (await jobPid(scene.config.stateDir, 'rewind-1')) !== null, 60_000);
  await killJob(scene.config.stateDir, 'rewind-1');
  await expect(activities.startStandby(step)).rejects.toMatchObject({ type: 'PreconditionFailed' });
  const ended = await running;
  if (ended.exitCode !== 0) await activities.copyStandby(step);
  expect(await jobsBegun(scene.config.stateDir, 'rewind')).toBe(2);
  await activities.startStandby(step);
  await waitFor(
    async () => (await dallas.query("select count(*)::int n from orders where note = 'only dallas'"))[0]?.['n'] === 0,
  );
  await expect(dallas.query('select count(*)::int n from more')).resolves.toEqual([{ n: 200_000 }]);
  expect(await directoryChecksums(plan.safetyCopy.name)).toEqual(old);
});

test('a rewind killed at every fault point ends as if undisturbed', async () => {
  const scene = await makeRebuildScene();
  const { activities, dallas, configFile } = scene;
  await scene.splitAndStop('immediate');
  const step = scene.step(await scene.plan('dallas', RUN), RUN);
  await activities.takeSafetyCopy(step);
  for (const fault of ['rebuild:copying', 'rebuild:copied', 'rebuild:renamed']) {
    expect([fault, await steps.killAt(fault, 'copyStandby', configFile, step)]).toEqual([fault, true]);
  }
  await activities.copyStandby(step);
  expect(await jobsBegun(scene.config.stateDir, 'rewind')).toBe(1);
  await activities.startStandby(step);
  await waitFor(
    async () =>
      (await dallas.query("select count(*)::int n from orders where note = 'only chicago'"))[0]?.['n'] === 100,
  );
});
