/**
 * Scenario: the data directory of a node is a btrfs subvolume. Verified: (1) the safety copy is a read-only snapshot, taken once, also when killed in between; (2) rewind
 * and full copy happen in place; (3) it comes back and what stood there is set aside; (4) a directory that is no subvolume, a foreign directory of that name and
 * subvolumes inside are refused; (5) blocks are shared where data are renamed aside. Needs root, loop devices and a kernel with btrfs.
 */
import { mkdir, rm, statfs } from 'node:fs/promises';
import path from 'node:path';

import { runProgramOrFail } from '../../activities/lib/exec.js';
import { keptDataDirFor, shortRunId } from '../../shared/ids.js';
import { startBtrfs, btrfsMissing, type TestBtrfs } from '../support/btrfs.js';
import { directoryChecksums } from '../support/checksums.js';
import { destroyAllClusters } from '../support/cluster.js';
import { createKillableSteps, type KillableSteps } from '../support/killed-step.js';
import { jobPid, jobsBegun, killJob } from '../support/rebuild-jobs.js';
import { waitFor } from '../support/promotion-scene.js';
import { destroyRebuildScenes, makeRebuildScene, type RebuildScene } from '../support/rebuild-scene.js';

jest.setTimeout(400_000);

const RUN = '01999999-4444-7000';
let steps: KillableSteps;
const missing = btrfsMissing();
if (missing !== null) console.warn(`skipped: ${missing}`);
const onBtrfs = missing === null ? test : test.skip;
beforeAll(async () => {
  steps = await createKillableSteps('rebuild-child');
});
afterEach(destroyRebuildScenes);
afterAll(async () => {
  await destroyAllClusters();
  await steps.destroy();
});

/** The data directory of `special` is a subvolume (or a plain directory) of a new btrfs. */
async function makeScene(special: 'dallas' | 'chicago', kind: 'btrfs' | 'directory'): Promise<RebuildScene> {
  const made: TestBtrfs[] = [];
  return makeRebuildScene({
    special,
    prepare: async (dataDir) => {
      const fs = await startBtrfs(path.dirname(dataDir));
      made.push(fs);
      if (kind === 'btrfs') await fs.btrfs('subvolume', 'create', dataDir);
      else await mkdir(dataDir);
      return kind === 'btrfs' ? { kind, sudo: false } : { kind };
    },
    cleanUp: async () => {
      for (const fs of made) await fs.destroy();
    },
  });
}

onBtrfs('an old primary is rewound in place and comes back, killed at every point', async () => {
  const scene = await makeScene('dallas', 'btrfs');
  const { activities, dallas, configFile } = scene;
  await scene.splitAndStop('immediate');
  const plan = await scene.plan('dallas', RUN);
  const kept = keptDataDirFor(dallas.dataDir, RUN);
  expect(plan).toMatchObject({ method: 'rewind', safetyCopy: { provider: 'btrfs', name: kept } });
  const step = scene.step(plan, RUN);
  const kill = async (fault: string, activity: string) => {
    expect([fault, await steps.killAt(fault, activity, configFile, step)]).toEqual([fault, true]);
  };
  const old = await directoryChecksums(dallas.dataDir);
  for (const point of ['noted', 'taken']) await kill(`snapshot:${point}`, 'takeSafetyCopy');
  await expect(activities.takeSafetyCopy(step)).resolves.toMatchObject({ outcome: 'already-taken' });
  for (const point of ['copied', 'moved-out', 'renamed']) await kill(`rebuild:${point}`, 'copyStandby');
  await activities.copyStandby(step);
  await activities.startStandby(step);
  const rows = 'select count(*)::int n, count(*) filter (where note = $$only dallas$$)::int own from orders';
  await waitFor(async () => (await dallas.query(rows))[0]?.['n'] === 1100);
  await expect(dallas.query(rows)).resolves.toEqual([{ n: 1100, own: 0 }]);
  expect(await directoryChecksums(kept)).toEqual(old);
  await activities.stopStandby(step);
  for (const point of ['set-aside', 'returned']) await kill(`snapshot:${point}`, 'returnSafetyCopy');
  const undone = `${dallas.dataDir}.undone-${shortRunId(RUN)}`;
  await expect(activities.returnSafetyCopy(step)).resolves.toEqual({ outcome: 'already-there', setAside: undone });
  expect(await directoryChecksums(dallas.dataDir)).toEqual(old);
  expect(await directoryChecksums(undone)).toHaveProperty('PG_VERSION');
  const provider = scene.deps.snapshot('lab', 'dallas');
  const [copy] = await provider.list();
  expect(copy).toMatchObject({ provider: 'btrfs', name: kept, verified: true });
  await provider.remove(copy!);
  await expect(provider.list()).resolves.toEqual([]);
});

onBtrfs('what is no subvolume, holds subvolumes, or is taken by somebody else is refused and not touched', async () => {
  const scene = await makeScene('chicago', 'btrfs');
  const { activities, chicago } = scene;
  const step = scene.step(await scene.plan('chicago', RUN), RUN);
  await activities.stopStandby(step);
  const old = await directoryChecksums(chicago.dataDir);
  const kept = keptDataDirFor(chicago.dataDir, RUN);
  await mkdir(kept);
  await expect(activities.takeSafetyCopy(step)).rejects.toMatchObject({ type: 'IdentityMismatch' });
  expect(await directoryChecksums(kept)).toEqual({});
  expect(await directoryChecksums(chicago.dataDir)).toEqual(old);
  const config = structuredClone(scene.config);
  config.environments['lab']!.nodes[0]!.snapshot = { kind: 'btrfs', sudo: false };
  const { rebuildDeps } = await import('../support/rebuild-scene.js');
  await expect(rebuildDeps(config).snapshot('lab', 'dallas').check()).resolves.toMatchObject({
    problems: [expect.stringContaining('not a btrfs subvolume') as string],
  });
});

onBtrfs('data that are renamed aside share their blocks with the copy that is rewound', async () => {
  const scene = await makeScene('dallas', 'directory');
  await scene.splitAndStop('fast');
  const plan = await scene.plan('dallas', RUN);
  expect(plan.why).toContain('the file system shares blocks');
  const step = scene.step(plan, RUN);
  await scene.activities.takeSafetyCopy(step);
  await scene.activities.copyStandby(step);
  await expect(scene.activities.startStandby(step)).resolves.toMatchObject({ timeline: 2 });
});

onBtrfs('a copy that fills the disk says so, keeps the safety copy, and goes on when there is room again', async () => {
  const scene = await makeScene('chicago', 'btrfs');
  const { activities, chicago, dallas } = scene;
  const plan = await scene.plan('chicago', RUN);
  const step = scene.step(plan, RUN);
  await activities.stopStandby(step);
  await activities.takeSafetyCopy(step);
  const old = await directoryChecksums(plan.safetyCopy.name);
  // The primary grew after the plan was made, and the disk of the standby did not.
  await dallas.query('create table big as select repeat(md5(g::text), 30) note from generate_series(1, 300000) g');
  const filler = path.join(path.dirname(chicago.dataDir), 'filler');
  const facts = await statfs(path.dirname(filler));
  await runProgramOrFail('fallocate', ['-l', String(facts.bavail * facts.bsize - 150 * 1024 * 1024), filler]);
  await expect(activities.copyStandby(step)).rejects.toMatchObject({
    type: 'SpaceMissing',
    details: [{ hint: expect.stringContaining(plan.safetyCopy.name) as string }],
  });
  expect(await directoryChecksums(plan.safetyCopy.name)).toEqual(old);
  expect(await directoryChecksums(chicago.dataDir)).toMatchObject(old);
  await rm(filler);
  await expect(activities.copyStandby(step)).resolves.toMatchObject({ outcome: 'copied' });
  await activities.startStandby(step);
  await expect(chicago.query('select count(*)::int n from big')).resolves.toEqual([{ n: 300_000 }]);
});

onBtrfs(
  'a rewind in place that is cut half-way is never used: everything is copied, and the safety copy has the old data',
  async () => {
    const scene = await makeScene('dallas', 'btrfs');
    const { activities, dallas, chicago, configFile, config } = scene;
    await scene.splitAndStop('fast');
    await chicago.query(
      'create table more as select g, repeat(md5(g::text), 20) note from generate_series(1, 200000) g',
    );
    await chicago.query('checkpoint');
    const plan = await scene.plan('dallas', RUN);
    const step = scene.step(plan, RUN);
    await activities.takeSafetyCopy(step);
    const old = await directoryChecksums(plan.safetyCopy.name);
    const running = steps.run('copyStandby', configFile, step);
    await waitFor(async () => (await jobPid(config.stateDir, 'rewind-1')) !== null, 60_000);
    await killJob(config.stateDir, 'rewind-1');
    const ended = await running;
    expect(JSON.parse(ended.stdout)).toMatchObject({ outcome: 'copied', method: 'basebackup' });
    expect(await jobsBegun(config.stateDir, 'rewind')).toBe(1);
    await activities.startStandby(step);
    await expect(dallas.query('select count(*)::int n from more')).resolves.toEqual([{ n: 200_000 }]);
    expect(await directoryChecksums(plan.safetyCopy.name)).toEqual(old);
  },
);
