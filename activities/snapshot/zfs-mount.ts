/** Mounts as they are seen: FUSE mounts in the background, and right after `zfs mount` the place may still show the empty directory below. */
import { stat } from 'node:fs/promises';
import path from 'node:path';

import { stepFailure } from '../lib/failure.js';
import { pollUntil } from '../lib/poll.js';
import { zfsMountArgs } from './commands.js';
import type { Zfs } from './zfs-program.js';

const MOUNT_TIMEOUT_MS = 20_000;

/** Mounts the dataset unless it is mounted, and returns once `place`, its mount point, shows it. Throws SnapshotFailed. */
export async function mountAt(zfs: Zfs, dataset: string, place: string): Promise<void> {
  if (!(await isMounted(zfs, dataset))) await zfs.change(zfsMountArgs(dataset));
  const seen = await pollUntil(async () => ((await isMountPoint(place)) ? true : null), {
    timeoutMs: MOUNT_TIMEOUT_MS,
  });
  if (seen === null) throw stepFailure('SnapshotFailed', `${dataset} is mounted, but ${place} does not show it`);
}

/** What ZFS says. */
export async function isMounted(zfs: Zfs, dataset: string): Promise<boolean> {
  return (await zfs.get(dataset, ['mounted']))?.get('mounted')?.value === 'yes';
}

/** What the kernel says: another file system than around it. */
export async function isMountPoint(dir: string): Promise<boolean> {
  const [facts, around] = await Promise.all([stat(dir).catch(() => null), stat(path.dirname(dir)).catch(() => null)]);
  return facts !== null && around !== null && facts.dev !== around.dev;
}
