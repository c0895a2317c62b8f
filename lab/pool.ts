/**
 * The ZFS pool of a lab: on a file in its directory, one dataset for the data of each node. It is exported when the lab goes down, and never comes back by itself
 * (no cache file): only `pgr lab up` imports it. Every function may be repeated, after a crash of anything.
 */
import { createHash } from 'node:crypto';
import { mkdir, open, readFile, rm, stat } from 'node:fs/promises';
import path from 'node:path';

import { runProgram } from '../activities/lib/exec.js';
import type { DataMover } from '../activities/lib/snapshot.js';
import { dataControl } from '../activities/postgres/data-control.js';
import { pathExists } from '../activities/postgres/data-directory.js';
import { createRenamer } from '../activities/snapshot/rooms.js';
import { createZfsProvider } from '../activities/snapshot/zfs.js';
import { PgrFailure } from '../shared/pgr-failure.js';
import type { LabContext } from './context.js';
import { LAB_ENVIRONMENT, type LabPaths, type NodeName } from './paths.js';
import { listPools, withoutZfs, withZfs, zpool } from './zfs-daemon.js';

/** Sparse: takes what is written. Two nodes of 100 MB and what recoveries set aside. */
const POOL_BYTES = 16 * 1024 ** 3;

/** Name of the pool; several labs on a machine have one each. */
function poolOf(paths: LabPaths): string {
  return `pgrlab-${createHash('sha256').update(paths.dir).digest('hex').slice(0, 10)}`;
}

/** Dataset of a node's data. */
export function datasetOf(paths: LabPaths, node: NodeName): string {
  return `${poolOf(paths)}/${node}`;
}

/** Brings data directories of a lab into their place: datasets with their mount points, or plain directories. */
export function moverOf({ paths, state }: LabContext, node: NodeName): DataMover {
  const dataDir = paths.dataDir(node);
  if (state.extras?.includes('zfs') !== true) return createRenamer(dataDir, dataControl);
  const place = { environment: LAB_ENVIRONMENT, name: node, host: node, dataDir, binDir: state.tools.postgres.path };
  return createZfsProvider(place, { dataset: datasetOf(paths, node), sudo: false }, dataControl);
}

/** The pool is imported and its datasets are mounted. Throws PreconditionFailed when a lab that has data in it has lost its file. */
export async function bringPool({ paths, state }: LabContext): Promise<{ pool: string; outcome: string }> {
  const pool = poolOf(paths);
  return withZfs(async () => {
    await dropDeadMounts(paths);
    if ((await listPools())?.includes(pool) === true) return { pool, outcome: 'already there' };
    const dir = path.dirname(paths.poolFile);
    await mkdir(dir, { recursive: true, mode: 0o700 });
    if (await pathExists(paths.poolFile)) {
      const imported = await runProgram('zpool', ['import', '-d', dir, '-o', 'cachefile=none', pool]);
      if (imported.exitCode === 0) return { pool, outcome: 'imported' };
      // A machine that went down without an export: the file is ours alone, whatever it says about its last system.
      const forced = await runProgram('zpool', ['import', '-f', '-d', dir, '-o', 'cachefile=none', pool]);
      if (forced.exitCode === 0) return { pool, outcome: 'imported' };
      if (state.created.length > 0) throw lostPool(paths, forced.stderr);
    }
    if (state.created.length > 0) throw lostPool(paths, 'it is gone');
    await createPool(paths.poolFile, pool);
    return { pool, outcome: 'made' };
  });
}

/** The pool is exported; the daemon ends with the last pool when it was started by a lab. Returns whether there was something to do. */
export async function leavePool(paths: LabPaths): Promise<boolean> {
  const pool = poolOf(paths);
  const { result: exported, daemon } = await withoutZfs(async (answers) => {
    await dropDeadMounts(paths);
    if (!answers || (await listPools())?.includes(pool) !== true) return false;
    await zpool('export', pool);
    return true;
  });
  return exported || daemon === 'stopped';
}

/** Whether the pool is imported now. */
export async function isPoolThere(paths: LabPaths): Promise<boolean> {
  return (await listPools())?.includes(poolOf(paths)) === true;
}

/** Half of a pool that a killed bring-up left is nobody's data yet. */
async function createPool(file: string, pool: string): Promise<void> {
  await rm(file, { force: true });
  const handle = await open(file, 'w', 0o600);
  await handle.truncate(POOL_BYTES);
  await handle.close();
  await zpool('create', '-o', 'cachefile=none', '-O', 'recordsize=8k', '-O', 'atime=off', '-m', 'none', pool, file);
}

/** Mounts of a zfs-fuse that died answer "not connected" for ever and keep the place; their data are in the pool. */
async function dropDeadMounts(paths: LabPaths): Promise<void> {
  const lines = (await readFile('/proc/mounts', 'utf8')).split('\n').map((line) => line.split(' '));
  const below = lines.map(([, dir = '']) => dir).filter((dir) => dir.startsWith(`${paths.nodesDir}/`));
  for (const dir of below) {
    const code = await stat(dir).then(
      () => null,
      (error: unknown) => (error as NodeJS.ErrnoException).code ?? null,
    );
    if (code === 'ENOTCONN') await runProgram('umount', ['-l', dir]);
  }
}

function lostPool(paths: LabPaths, why: string): Error {
  return new PgrFailure(
    'PreconditionFailed',
    `the pool of this lab (${paths.poolFile}) cannot be imported: ${why.trim()}`,
    {
      hint: 'see `zpool import -d` of its directory; `pgr lab destroy` removes the lab',
    },
  );
}
