/**
 * Scenario: the disk of a standby fills up while its new data are copied, because somebody else writes to it. Verified: the step fails with the facts and where the
 * safety copy is, that copy is untouched, and once there is space again a retry gives a standby that streams. Needs root (a small file system is mounted).
 */
import { chown, chmod, mkdir, open, rm, stat } from 'node:fs/promises';
import path from 'node:path';

import { runProgramOrFail } from '../../activities/lib/exec.js';
import { directoryChecksums } from '../support/checksums.js';
import { waitFor } from '../support/promotion-scene.js';
import {
  destroyRebuildScenes,
  makeRebuildScene,
  type RebuildScene,
  type SceneOptions,
} from '../support/rebuild-scene.js';

jest.setTimeout(240_000);
afterEach(destroyRebuildScenes);

const RUN = '01999999-7777-7000';
const isRoot = process.getuid?.() === 0;
if (!isRoot) console.warn('skipped: mounting a small file system needs root');

/** The directory around the data is a file system of 600 MB in memory. */
function smallDisk(): Pick<SceneOptions, 'special' | 'prepare' | 'cleanUp'> {
  let mounted: string | null = null;
  return {
    special: 'chicago',
    async prepare(dataDir) {
      const around = path.dirname(dataDir);
      const { uid, gid } = await stat(around);
      await runProgramOrFail('mount', ['-t', 'tmpfs', '-o', 'size=600m', 'tmpfs', around]);
      mounted = around;
      await chown(around, uid, gid);
      await chmod(around, 0o755);
      await mkdir(dataDir);
      return { kind: 'directory' };
    },
    async cleanUp() {
      if (mounted !== null) await runProgramOrFail('umount', [mounted]);
      mounted = null;
    },
  };
}

/** Writes until nothing more goes in. */
async function fill(file: string): Promise<void> {
  const ballast = await open(file, 'w');
  const block = Buffer.alloc(1024 * 1024);
  try {
    for (;;) await ballast.write(block);
  } catch (error) {
    expect(error).toMatchObject({ code: 'ENOSPC' });
  } finally {
    await ballast.close();
  }
}

async function copyOntoFullDisk({ activities, dallas, chicago, ...scene }: RebuildScene): Promise<void> {
  const plan = await scene.plan('chicago', RUN, { rateLimitKbPerSecond: 4096 });
  const step = scene.step(plan, RUN);
  await activities.stopStandby(step);
  await activities.takeSafetyCopy(step);
  const old = await directoryChecksums(plan.safetyCopy.name);
  const ballast = path.join(path.dirname(chicago.dataDir), 'ballast');
  const copying = activities.copyStandby(step).catch((error: unknown) => error);
  const streamed = 'select coalesce(max(backup_streamed), 0)::int n from pg_stat_progress_basebackup';
  await waitFor(async () => Number((await dallas.query(streamed))[0]?.['n']) > 1_000_000);
  await fill(ballast);
  await expect(copying).resolves.toMatchObject({
    type: 'SpaceMissing',
    details: [{ hint: expect.stringContaining(plan.safetyCopy.name) as string }],
  });
  expect(await directoryChecksums(plan.safetyCopy.name)).toEqual(old);
  await expect(activities.startStandby(step)).rejects.toMatchObject({ type: 'PreconditionFailed' });
  await rm(ballast);
  await expect(activities.copyStandby(step)).resolves.toMatchObject({ outcome: 'copied' });
  await activities.startStandby(step);
  expect(await directoryChecksums(plan.safetyCopy.name)).toEqual(old);
}

(isRoot ? test : test.skip)(
  'a copy onto a disk that fills up says so, keeps the safety copy, and goes on when it is retried',
  async () => {
    await copyOntoFullDisk(await makeRebuildScene({ rows: 50_000, ...smallDisk() }));
  },
);
