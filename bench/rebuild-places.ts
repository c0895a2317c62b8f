/**
 * Where a pair of servers lies while rebuilds of it are measured: in a plain directory, and on file systems on a loop file that share blocks or take snapshots.
 * Only root can make those; what the machine has not is said and left out.
 */
import { existsSync } from 'node:fs';
import { mkdir, open, readFile } from 'node:fs/promises';
import path from 'node:path';

import { identify } from '../activities/lib/process-identity.js';
import { stopProcess } from '../lab/process.js';
import type { Closers } from './closers.js';
import { until } from './flip-lab.js';
import { pathOf, runProgram, startProgram } from './processes.js';

export type Place = {
  /** Directory of the file system; everything of the pair lies below. */
  dir: string;
  /** Makes the empty data directory of a node and says how its safety copies are taken. */
  makeDataDir(node: string): Promise<{ dataDir: string; snapshot: object }>;
};

export type PlaceKind = {
  name: string;
  missing(): Promise<string | null>;
  open(request: PlaceRequest): Promise<Place>;
};
type PlaceRequest = { dir: string; bytes: number; closers: Closers };

/** Every kind of place, by letter. */
export const PLACES: Record<string, PlaceKind> = {
  d: { name: 'directory', missing: () => Promise.resolve(null), open: ({ dir }) => Promise.resolve(plainPlace(dir)) },
  x: { name: 'directory on xfs', missing: () => missingProgram('mkfs.xfs', 'xfsprogs'), open: openXfs },
  b: { name: 'btrfs', missing: () => missingProgram('mkfs.btrfs', 'btrfs-progs'), open: openBtrfs },
  z: { name: 'zfs', missing: missingZfs, open: openZfs },
};

function plainPlace(dir: string): Place {
  return {
    dir,
    async makeDataDir(node) {
      const dataDir = path.join(dir, node, 'data');
      await mkdir(dataDir, { recursive: true });
      return { dataDir, snapshot: { kind: 'directory' } };
    },
  };
}

async function openXfs(request: PlaceRequest): Promise<Place> {
  return plainPlace(await mountLoop(request, ['mkfs.xfs', '-q', '-m', 'reflink=1']));
}

async function openBtrfs(request: PlaceRequest): Promise<Place> {
  const dir = await mountLoop(request, ['mkfs.btrfs', '-q']);
  return {
    dir,
    async makeDataDir(node) {
      const dataDir = path.join(dir, node, 'data');
      await mkdir(path.dirname(dataDir), { recursive: true });
      await runProgram('btrfs', ['subvolume', 'create', dataDir]);
      return { dataDir, snapshot: { kind: 'btrfs' } };
    },
  };
}

/** A new file system on a sparse file, mounted; it is unmounted at the end, and the file goes with the directory around it. */
async function mountLoop({ dir, bytes, closers }: PlaceRequest, [program = '', ...args]: string[]): Promise<string> {
  const file = await imageFile(dir, bytes);
  const mount = path.join(dir, 'mnt');
  await mkdir(mount, { recursive: true });
  await runProgram(program, [...args, file]);
  await runProgram('mount', ['-o', 'loop', file, mount]);
  closers.add(() => unmount(mount));
  return mount;
}

async function imageFile(dir: string, bytes: number): Promise<string> {
  await mkdir(dir, { recursive: true });
  const file = path.join(dir, 'image');
  const handle = await open(file, 'w');
  await handle.truncate(bytes);
  await handle.close();
  return file;
}

/** A server that has just ended may still hold a file. */
async function unmount(mount: string): Promise<void> {
  await until(() =>
    runProgram('umount', [mount]).then(
      () => true,
      () => null,
    ),
  );
}

async function openZfs({ dir, bytes, closers }: PlaceRequest): Promise<Place> {
  const pool = `pgrbench${String(process.pid)}`;
  if (!existsSync('/sys/module/zfs')) await startZfsFuse(dir, closers);
  const file = await imageFile(dir, bytes);
  const mount = path.join(dir, 'mnt');
  await runProgram('zpool', ['create', '-m', mount, pool, file]);
  closers.add(() =>
    until(() =>
      runProgram('zpool', ['destroy', '-f', pool]).then(
        () => true,
        () => null,
      ),
    ),
  );
  return {
    dir: mount,
    async makeDataDir(node) {
      const dataset = `${pool}/${node}`;
      await runProgram('zfs', ['create', '-o', 'recordsize=8k', dataset]);
      return { dataDir: path.join(mount, node), snapshot: { kind: 'zfs', dataset } };
    },
  };
}

async function startZfsFuse(dir: string, closers: Closers): Promise<void> {
  await mkdir(dir, { recursive: true });
  const child = startProgram('zfs-fuse', ['--no-daemon'], path.join(dir, 'zfs-fuse.log'));
  const identity = child.pid === undefined ? null : await identify(child.pid);
  if (identity === null) throw new Error('zfs-fuse did not start');
  closers.add(() => stopProcess(identity, 10_000));
  await until(() =>
    runProgram('zpool', ['list']).then(
      () => true,
      () => null,
    ),
  );
}

async function missingProgram(program: string, debianPackage: string): Promise<string | null> {
  if (process.getuid?.() !== 0) return 'mounting needs root';
  if (!existsSync('/dev/loop-control')) return 'there are no loop devices';
  if ((await pathOf(program)) === null) return `${program} is not installed (Debian: apt-get install ${debianPackage})`;
  return null;
}

async function missingZfs(): Promise<string | null> {
  if (process.getuid?.() !== 0) return 'ZFS needs root';
  if ((await pathOf('zpool')) === null) return 'zfs is not installed (Debian: apt-get install zfs-fuse)';
  if (existsSync('/sys/module/zfs')) return null;
  if ((await pathOf('zfs-fuse')) === null || !existsSync('/dev/fuse'))
    return 'there is neither the kernel module nor zfs-fuse';
  // One daemon can run on a machine, and another one's is not ours to use.
  const runs = (await readFile('/proc/mounts', 'utf8')).includes(' fuse.zfs') || (await answers());
  return runs ? 'a zfs-fuse runs already' : null;
}

function answers(): Promise<boolean> {
  return runProgram('zpool', ['list']).then(
    () => true,
    () => false,
  );
}
