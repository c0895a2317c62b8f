/** What a dataset must be, so that a snapshot of it is the data of this node and nothing else. */
import { readdir, stat } from 'node:fs/promises';
import path from 'node:path';

import type { SnapshotNode } from './data-control.js';
import type { Zfs } from './zfs-program.js';

/** Why the dataset cannot be used; empty when it can. Throws nothing. */
export async function zfsProblems(zfs: Zfs, dataset: string, node: SnapshotNode): Promise<string[]> {
  try {
    if (!dataset.includes('/')) return [`${dataset} is a whole pool: give the data directory a dataset of its own`];
    const facts = await zfs.get(dataset, ['type', 'mounted', 'mountpoint']);
    if (facts === null) return [`there is no dataset ${dataset}`];
    const value = (name: string): string => facts.get(name)?.value ?? '-';
    if (value('type') !== 'filesystem') return [`${dataset} is a ${value('type')}, not a file system`];
    const mountpoint = value('mountpoint');
    if (value('mounted') !== 'yes' || !mountpoint.startsWith('/')) {
      return [`${dataset} is not mounted by ZFS (mountpoint ${mountpoint}, mounted ${value('mounted')})`];
    }
    const children = (await zfs.list('filesystem', dataset)).filter((name) => name !== dataset);
    const below = children.length === 0 ? [] : [`${dataset} has datasets below it: ${children.join(', ')}`];
    return [...below, ...(await placeProblems(dataset, mountpoint, node.dataDir))];
  } catch (error) {
    return [error instanceof Error ? error.message : String(error)];
  }
}

/**
 * The data directory lies in this dataset (by device, not by name), and nothing else does: whatever else is in there would go back in time
 * with the data when the copy is put back.
 */
async function placeProblems(dataset: string, mountpoint: string, dataDir: string): Promise<string[]> {
  const relative = path.relative(mountpoint, dataDir);
  if (relative.startsWith('..')) return [`${dataDir} is not below ${mountpoint}, where ${dataset} is mounted`];
  const [mounted, data] = await Promise.all([stat(mountpoint), stat(dataDir).catch(() => null)]);
  if (data !== null && data.dev !== mounted.dev) return [`${dataDir} is on another file system than ${dataset}`];
  const foreign: string[] = [];
  let dir = mountpoint;
  for (const name of relative === '' ? [] : relative.split(path.sep)) {
    const own = new RegExp(`^${name.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}(\\.log|\\..*\\.json)?$`);
    const others = await readdir(dir).catch(() => []);
    foreign.push(...others.filter((other) => !own.test(other)).map((other) => path.join(dir, other)));
    dir = path.join(dir, name);
  }
  if (foreign.length === 0) return [];
  return [
    `${dataset} holds more than the data directory (${foreign.slice(0, 5).join(', ')}): it would go back in time with it; give the data directory a dataset of its own`,
  ];
}
