/** A btrfs on a loop file for tests; needs root and a kernel with btrfs. */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, mkdtemp, open, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { runProgram, runProgramOrFail } from '../../activities/lib/exec.js';
import { isOnPath } from '../../lab/zfs-daemon.js';

export type TestBtrfs = { mount: string; btrfs(...args: string[]): Promise<string>; destroy(): Promise<void> };

const BYTES = 3 * 1024 ** 3;

/** Null when tests with btrfs can run here, else why not. */
export function btrfsMissing(): string | null {
  if (process.getuid?.() !== 0) return 'mounting needs root';
  if (!isOnPath('mkfs.btrfs')) return 'btrfs is not installed (Debian: btrfs-progs)';
  spawnSync('modprobe', ['btrfs']);
  if (!readFileSync('/proc/filesystems', 'utf8').includes('btrfs')) return 'the kernel has no btrfs';
  return existsSync('/dev/loop-control') ? null : 'there are no loop devices';
}

/** Mounts a new file system at `mount` (a new directory when left out). `bytes`: its size. */
export async function startBtrfs(mount?: string, bytes = BYTES): Promise<TestBtrfs> {
  const dir = await mkdtemp(path.join(tmpdir(), 'pgr-btrfs-'));
  const at = mount ?? path.join(dir, 'mnt');
  const destroy = async (): Promise<void> => {
    for (let tries = 0; tries < 20; tries += 1) {
      if (!(await readFile('/proc/mounts', 'utf8')).includes(` ${at} `)) break;
      await runProgram('umount', [at]);
    }
    await rm(dir, { recursive: true, force: true });
  };
  try {
    await mkdir(at, { recursive: true });
    const file = path.join(dir, 'image');
    const handle = await open(file, 'w');
    await handle.truncate(bytes);
    await handle.close();
    await runProgramOrFail('mkfs.btrfs', ['-q', file]);
    await runProgramOrFail('mount', ['-o', 'loop', file, at]);
  } catch (error) {
    await destroy();
    throw error;
  }
  return { mount: at, btrfs: (...args) => runProgramOrFail('btrfs', args), destroy };
}
