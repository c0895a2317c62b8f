/**
 * Looks inside a snapshot through a clone: zfs-fuse shows no `.zfs/snapshot`, and a clone works with both. The clone lives for the look only; one that a
 * killed look left is taken away first.
 */
import { mkdtemp, rmdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { shortRunId } from '../../shared/ids.js';
import { stepFailure } from '../lib/failure.js';
import { faultPoint } from '../lib/fault-points.js';
import { zfsCloneArgs, zfsDestroyArgs } from './commands.js';
import type { SnapshotNode } from './data-control.js';
import { mountAt } from './zfs-mount.js';
import type { Zfs } from './zfs-program.js';

const LOOK_PREFIX = 'pgr-look-';

export type Look = { dataset: string; snapshot: string; node: SnapshotNode; runId: string };

/** Hands the data directory as it is in the snapshot to `work`. */
export async function lookInside<T>(zfs: Zfs, look: Look, work: (dir: string) => Promise<T>): Promise<T> {
  const clone = `${look.dataset}-look-${shortRunId(look.runId)}`;
  await removeClone(zfs, clone, look.snapshot);
  const mountpoint = (await zfs.get(look.dataset, ['mountpoint']))?.get('mountpoint')?.value ?? '/';
  const dir = await mkdtemp(path.join(tmpdir(), LOOK_PREFIX));
  try {
    await zfs.change(zfsCloneArgs(look.snapshot, clone, { mountpoint: dir, readonly: 'on' }));
    await mountAt(zfs, clone, dir);
    faultPoint('snapshot:looking');
    return await work(path.join(dir, path.relative(mountpoint, look.node.dataDir)));
  } finally {
    await removeClone(zfs, clone, look.snapshot);
    await rmdir(dir).catch(() => undefined);
  }
}

async function removeClone(zfs: Zfs, clone: string, snapshot: string): Promise<void> {
  const facts = await zfs.get(clone, ['origin', 'mountpoint']);
  if (facts === null) return;
  if (facts.get('origin')?.value !== snapshot) {
    throw stepFailure('SnapshotFailed', `dataset ${clone} is not a clone of ${snapshot}: it was not touched`);
  }
  await zfs.change(zfsDestroyArgs(clone));
  const mountpoint = facts.get('mountpoint')?.value ?? '';
  if (path.basename(mountpoint).startsWith(LOOK_PREFIX)) await rmdir(mountpoint).catch(() => undefined);
}
