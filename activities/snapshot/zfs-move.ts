/**
 * Moves of a data directory that is a dataset: rename(2) cannot move a mount point, so the dataset is unmounted, renamed and mounted at its new place. A property
 * on it says where it is going from before the first change until after the last one: killed anywhere, also by a power cut, the next call completes it.
 */
import { readdir, rmdir } from 'node:fs/promises';

import type { RunAs } from '../lib/exec.js';
import { stepFailure } from '../lib/failure.js';
import { faultPoint } from '../lib/fault-points.js';
import type { DataMover } from '../lib/snapshot.js';
import {
  zfsCreateArgs,
  zfsDestroyArgs,
  zfsInheritArgs,
  zfsLocalPropertiesArgs,
  zfsRenameArgs,
  zfsSetArgs,
  zfsUnmountArgs,
} from './commands.js';
import type { DataControl, SnapshotNode } from './data-control.js';
import { createRenamer, giveRoom, requireRoom } from './rooms.js';
import { isMounted, isMountPoint, mountAt } from './zfs-mount.js';
import { datasetAt, likeProperties, ownDatasets, parentOf } from './zfs-names.js';
import { zfsFailure, type Properties, type Zfs } from './zfs-program.js';

const MOVE = 'pgr:move';

type Context = { node: SnapshotNode; control: DataControl; zfs: Zfs; dataset: string; sudo: boolean };
/** What the property says: places, and names of datasets. */
type Move = { from: string; to: string; source: string; target: string; canmount: string };

export function createZfsMover(context: Context): DataMover {
  const { node, control, dataset } = context;
  const renamer = createRenamer(node.dataDir, control);
  /** The data directory is the mount point itself; below one it is a directory like any other. */
  const isWhole = async (): Promise<boolean> => !(await isBelowMount(context));
  return {
    moveProblems: async () => ((await isWhole()) ? moveProblems(context) : renamer.moveProblems()),
    describeMove(from, to) {
      const [source, target] = [datasetAt(dataset, node.dataDir, from), datasetAt(dataset, node.dataDir, to)];
      return `zfs unmount ${source}; zfs rename ${source} ${target}; zfs set mountpoint=${to} ${target}; zfs mount ${target}`;
    },
    settleMoves: () => settleMoves(context),
    move: async (from, to) => ((await isWhole()) ? move(context, from, to) : renamer.move(from, to)),
    isMovable: async (dir) => ((await isWhole()) ? false : renamer.isMovable(dir)),
    makeRoom: async (place, owner) => {
      requireRoom(node.dataDir, place);
      if (await isWhole()) await makeRoom(context, place, owner);
      else await renamer.makeRoom(place, owner);
    },
    removeRoom: async (place) => {
      requireRoom(node.dataDir, place);
      if (await isWhole()) await destroyAt(context, place);
      else await renamer.removeRoom(place);
    },
  };
}

/** Destroys the dataset of a place, never `-r`: what has snapshots or clones stays. None is fine. */
export async function destroyAt({ node, control, zfs, dataset }: Context, place: string): Promise<'removed' | 'none'> {
  const name = datasetAt(dataset, node.dataDir, place);
  if ((await zfs.get(name, ['type'])) === null) return 'none';
  const snapshots = await zfs.list('snapshot', name);
  if (snapshots.length > 0) {
    throw stepFailure('SnapshotFailed', `${name} has snapshots (${snapshots.join(', ')}): nothing was removed`, {
      hint: 'remove those first: `pgr snapshots prune` takes ours',
    });
  }
  await control.requireStopped(place);
  await zfs.change(zfsDestroyArgs(name));
  await removeEmpty(place);
  return 'removed';
}

async function isBelowMount({ node, zfs, dataset }: Context): Promise<boolean> {
  const mountpoint = value(await zfs.get(dataset, ['mountpoint']), 'mountpoint');
  if (!mountpoint.startsWith('/') || mountpoint === node.dataDir) return false;
  return node.dataDir.startsWith(`${mountpoint.replace(/\/$/, '')}/`);
}

async function moveProblems({ node, zfs, dataset }: Context): Promise<string[]> {
  try {
    if (!dataset.includes('/')) return [`${dataset} is a whole pool: give the data directory a dataset of its own`];
    if ((await zfs.get(parentOf(dataset), ['type'])) === null) return [`there is no dataset ${parentOf(dataset)}`];
    const facts = await zfs.get(dataset, ['mounted', 'mountpoint']);
    if (facts === null) return await standsAlone(node.dataDir);
    const children = (await zfs.list('filesystem', dataset)).filter((name) => name !== dataset);
    if (children.length > 0) return [`${dataset} has datasets below it: ${children.join(', ')}`];
    if (value(facts, 'mounted') === 'yes' && value(facts, 'mountpoint') === node.dataDir) return [];
    return [`${dataset} is not mounted at ${node.dataDir} (${value(facts, 'mountpoint')})`];
  } catch (error) {
    return [error instanceof Error ? error.message : String(error)];
  }
}

/** Without the dataset (a new machine) nothing may stand in its place. */
async function standsAlone(dataDir: string): Promise<string[]> {
  const names = await readdir(dataDir).catch(() => []);
  return names.length === 0 ? [] : [`${dataDir} holds files, but is not the dataset of the config`];
}

async function move(context: Context, from: string, to: string): Promise<void> {
  const { node, control, zfs, dataset } = context;
  const [source, target] = [datasetAt(dataset, node.dataDir, from), datasetAt(dataset, node.dataDir, to)];
  const facts = await zfs.get(source, ['mounted', 'mountpoint', 'canmount']);
  if (value(facts, 'mounted') !== 'yes' || value(facts, 'mountpoint') !== from) {
    throw refusal(`${from} is not dataset ${source}, mounted there`);
  }
  if ((await zfs.get(target, ['type'])) !== null) throw refusal(`cannot move ${from}: there is a dataset ${target}`);
  if (!['missing', 'empty'].includes(await control.directoryState(to))) {
    throw refusal(`cannot move ${from}: ${to} exists already`);
  }
  const planned: Move = { from, to, source, target, canmount: value(facts, 'canmount') };
  await zfs.change(zfsSetArgs(MOVE, JSON.stringify(planned), source));
  faultPoint('snapshot:move-noted');
  await finish(context, planned);
}

async function settleMoves(context: Context): Promise<void> {
  const { zfs, dataset } = context;
  const parent = parentOf(dataset);
  if (parent === '' || (await zfs.get(parent, ['type'])) === null) return;
  const names = ownDatasets(dataset, await zfs.list('filesystem', parent));
  for (const facts of (await zfs.getAll(names, [MOVE])).values()) {
    const text = facts.get(MOVE)?.value;
    if (text !== undefined) await finish(context, JSON.parse(text) as Move);
  }
}

/** Every part looks first whether it is done. */
async function finish({ zfs, control }: Context, { from, to, source, target, canmount }: Move): Promise<void> {
  if ((await zfs.get(target, ['type'])) === null) {
    // Not by itself any more: after a power cut it must not come back to its old place.
    await zfs.change(zfsSetArgs('canmount', 'noauto', source));
    if (await isMounted(zfs, source)) {
      await control.requireStopped(from);
      await zfs.change(zfsUnmountArgs(source));
    }
    faultPoint('snapshot:move-unmounted');
    await zfs.change(zfsRenameArgs(source, target));
  }
  faultPoint('snapshot:move-renamed');
  const placed = await zfs.get(target, ['mountpoint', 'canmount']);
  if (value(placed, 'mountpoint') !== to) await zfs.change(zfsSetArgs('mountpoint', to, target));
  faultPoint('snapshot:move-placed');
  // Before it is mounted: zfs-fuse mounts a mounted dataset anew for this, in the background, and for a moment the place looks empty (measured).
  if (value(placed, 'canmount') !== canmount) await zfs.change(zfsSetArgs('canmount', canmount, target));
  await mountAt(zfs, target, to);
  faultPoint('snapshot:move-mounted');
  await zfs.change(zfsInheritArgs(MOVE, target));
  await removeEmpty(from);
}

async function makeRoom(context: Context, place: string, owner: RunAs): Promise<void> {
  const { node, zfs, dataset, sudo } = context;
  const name = datasetAt(dataset, node.dataDir, place);
  const facts = await zfs.get(name, ['mountpoint']);
  if (facts === null) await zfs.change(zfsCreateArgs(name, { ...(await likeOurs(context)), mountpoint: place }));
  else if (value(facts, 'mountpoint') !== place)
    throw refusal(`dataset ${name} is not ours: it belongs to another place`);
  await mountAt(zfs, name, place);
  await giveRoom(place, owner, sudo);
}

/** Record size, compression and what else was set on the node's data, wherever they are now. */
async function likeOurs({ zfs, dataset }: Context): Promise<Record<string, string>> {
  const [model] = ownDatasets(dataset, await zfs.list('filesystem', parentOf(dataset)));
  if (model === undefined) return {};
  const result = await zfs.run(zfsLocalPropertiesArgs(model));
  if (result.exitCode !== 0) throw zfsFailure(result);
  return likeProperties(result.stdout).copied;
}

/** The directory that a mount point leaves; it is in nobody's way when it cannot be removed. */
async function removeEmpty(dir: string): Promise<void> {
  if (!(await isMountPoint(dir))) await rmdir(dir).catch(() => undefined);
}

function value(facts: Properties | null, name: string): string {
  return facts?.get(name)?.value ?? '-';
}

function refusal(message: string): Error {
  return stepFailure('PreconditionFailed', message, {
    hint: 'nothing was moved; see `zfs list` and what stands there, then `pgr retry`',
  });
}
