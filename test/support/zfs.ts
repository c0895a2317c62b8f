/**
 * A real ZFS for tests: the kernel's where it is loaded, else a zfs-fuse daemon of our own, with a pool on a file. One daemon can run on a machine, so a lock file keeps test files
 * apart. Only root can use it.
 */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, open, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { runProgram, runProgramOrFail } from '../../activities/lib/exec.js';
import { identify, isAlive, type ProcessIdentity } from '../../activities/lib/process-identity.js';
import { waitFor } from './promotion-scene.js';

export type TestZfs = {
  pool: string;
  /** Makes a dataset that is mounted at `mountpoint`. */
  createDataset(name: string, mountpoint: string): Promise<string>;
  zfs(...args: string[]): Promise<string>;
  destroy(): Promise<void>;
};

const LOCK = path.join(tmpdir(), 'pgr-test-zfs.lock');
const POOL_BYTES = 3 * 1024 ** 3;

/** Null when tests with ZFS can run here, else why not. */
export function zfsMissing(): string | null {
  if (process.getuid?.() !== 0) return 'ZFS needs root';
  if (!onPath('zfs') || !onPath('zpool')) return 'zfs is not installed (Debian: zfs-fuse)';
  if (existsSync('/sys/module/zfs')) return null;
  if (!onPath('zfs-fuse')) return 'there is neither the zfs kernel module nor zfs-fuse';
  return existsSync('/dev/fuse') ? null : 'there is no /dev/fuse';
}

export function onPath(program: string): boolean {
  return [...(process.env['PATH'] ?? '').split(':'), '/usr/sbin', '/sbin'].some((dir) =>
    existsSync(path.join(dir, program)),
  );
}

export async function startZfs(): Promise<TestZfs> {
  await takeLock();
  const dir = await mkdtemp(path.join(tmpdir(), 'pgr-zfs-'));
  const pool = `pgrtest${String(process.pid)}`;
  let daemon: ProcessIdentity | null = null;
  const destroy = async (): Promise<void> => {
    for (let tries = 0; tries < 20; tries += 1) {
      const result = await runProgram('zpool', ['destroy', '-f', pool]);
      if (result.exitCode === 0 || /no such pool/.test(result.stderr)) break;
      await new Promise((resolve) => setTimeout(resolve, 250));
    }
    await stopDaemon(daemon);
    await rm(dir, { recursive: true, force: true });
    await rm(LOCK, { force: true });
  };
  try {
    daemon = existsSync('/sys/module/zfs') ? null : await startDaemon();
    const file = path.join(dir, 'pool');
    const handle = await open(file, 'w');
    await handle.truncate(POOL_BYTES);
    await handle.close();
    await runProgramOrFail('zpool', ['create', '-m', path.join(dir, 'mnt'), pool, file]);
  } catch (error) {
    await destroy();
    throw error;
  }
  return {
    pool,
    zfs: (...args) => runProgramOrFail('zfs', args),
    async createDataset(name, mountpoint) {
      await mkdir(mountpoint, { recursive: true });
      await runProgramOrFail('zfs', [
        'create',
        '-o',
        `mountpoint=${mountpoint}`,
        '-o',
        'recordsize=8k',
        `${pool}/${name}`,
      ]);
      return `${pool}/${name}`;
    },
    destroy,
  };
}

async function startDaemon(): Promise<ProcessIdentity> {
  const child = spawn('zfs-fuse', ['--no-daemon'], { stdio: 'ignore', detached: true });
  child.unref();
  const identity = await identify(child.pid ?? 0);
  if (identity === null) throw new Error('zfs-fuse did not start');
  await waitFor(async () => (await runProgram('zpool', ['list'])).exitCode === 0);
  return identity;
}

async function stopDaemon(daemon: ProcessIdentity | null): Promise<void> {
  if (daemon === null) return;
  if (await isAlive(daemon)) process.kill(daemon.pid, 'SIGTERM');
  await waitFor(async () => !(await isAlive(daemon))).catch(() => process.kill(daemon.pid, 'SIGKILL'));
}

/** Waits for a test file that uses ZFS now; a lock whose process is gone is nobody's. */
async function takeLock(): Promise<void> {
  await waitFor(async () => {
    const own = await identify(process.pid);
    try {
      const handle = await open(LOCK, 'wx');
      await handle.writeFile(JSON.stringify(own));
      await handle.close();
      return true;
    } catch {
      const holder = await readFile(LOCK, 'utf8').then(
        (text) => JSON.parse(text) as ProcessIdentity,
        () => null,
      );
      if (holder !== null && !(await isAlive(holder))) await rm(LOCK, { force: true });
      return false;
    }
  }, 300_000);
}
