/**
 * A real ZFS for tests: a pool on a file, in the kernel's ZFS or in the zfs-fuse that everything on this machine shares (lab/zfs-daemon.ts): test files and labs
 * run side by side, and the last one to leave stops it. Only root can use it.
 */
import { mkdir, mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { runProgram, runProgramOrFail } from '../../activities/lib/exec.js';
import { identify } from '../../activities/lib/process-identity.js';
import { mountAt } from '../../activities/snapshot/zfs-mount.js';
import { createZfs } from '../../activities/snapshot/zfs-program.js';
import { listPools, whyNoZfs, withoutZfs, withZfs, zpool } from '../../lab/zfs-daemon.js';

export type TestZfs = {
  pool: string;
  /** Makes a dataset that is mounted at `mountpoint`. */
  createDataset(name: string, mountpoint: string): Promise<string>;
  zfs(...args: string[]): Promise<string>;
  /** Unmounts everything, so that directories around the mount points can be removed. */
  unmountAll(): Promise<void>;
  destroy(): Promise<void>;
};

const POOL_BYTES = 3 * 1024 ** 3;
const PREFIX = 'pgrtest';

/** Null when tests with ZFS can run here, else why not. */
export const zfsMissing = (): string | null => whyNoZfs();

export async function startZfs(): Promise<TestZfs> {
  const dir = await mkdtemp(path.join(tmpdir(), 'pgr-zfs-'));
  const pool = `${PREFIX}${String(process.pid)}x${path.basename(dir).slice(-6)}`;
  const destroy = async (): Promise<void> => {
    await withoutZfs(async () => {
      if ((await listPools())?.includes(pool) === true) await zpool('destroy', '-f', pool);
    });
    await rm(dir, { recursive: true, force: true });
  };
  try {
    await withZfs(async () => {
      await destroyOrphans();
      const file = path.join(dir, 'pool');
      const handle = await open(file, 'w');
      await handle.truncate(POOL_BYTES);
      await handle.close();
      await zpool('create', '-o', 'cachefile=none', '-m', path.join(dir, 'mnt'), pool, file);
    });
  } catch (error) {
    await destroy();
    throw error;
  }
  const zfs = (...args: string[]): Promise<string> => runProgramOrFail('zfs', args);
  return {
    pool,
    zfs,
    async createDataset(name, mountpoint) {
      await mkdir(mountpoint, { recursive: true });
      await zfs('create', '-o', `mountpoint=${mountpoint}`, '-o', 'recordsize=8k', `${pool}/${name}`);
      await mountAt(createZfs({ sudo: false }), `${pool}/${name}`, mountpoint);
      return `${pool}/${name}`;
    },
    async unmountAll() {
      const names = (await zfs('list', '-H', '-o', 'name', '-t', 'filesystem', '-r', pool)).split('\n');
      for (const name of names.filter((line) => line.startsWith(`${pool}/`))) await unmount(name);
    },
    destroy,
  };
}

/** FUSE lets go in the background. */
async function unmount(dataset: string): Promise<void> {
  const deadline = Date.now() + 30_000;
  for (;;) {
    const result = await runProgram('zfs', ['unmount', dataset]);
    if (result.exitCode === 0 || /not currently mounted/.test(result.stderr)) return;
    if (Date.now() > deadline) throw new Error(`cannot unmount ${dataset}: ${result.stderr}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** Pools of test processes that were killed: they would keep the daemon for ever. */
async function destroyOrphans(): Promise<void> {
  for (const name of (await listPools()) ?? []) {
    const pid = new RegExp(`^${PREFIX}(\\d+)x`).exec(name)?.[1];
    if (pid !== undefined && (await identify(Number(pid))) === null) await runProgram('zpool', ['destroy', '-f', name]);
  }
}
