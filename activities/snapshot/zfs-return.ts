/**
 * Puts a snapshot back without losing anything: a clone of it is promoted and takes the name and the mount point of the dataset, which is renamed
 * aside. `zfs rollback` is not used: it destroys what was written since, refuses while newer snapshots exist, and would make a snapshot of what
 * stands there (the only way to keep it) one of those. The safety copy moves along with the promotion and stays held.
 *
 * Killed anywhere, the names of the datasets say how far it came: `<ds>-back-<13>` is the clone, `<ds>-undone-<13>` what stood there.
 */
import type { SafetyCopy } from '../../shared/contracts/rebuild.js';
import { shortRunId } from '../../shared/ids.js';
import { stepFailure } from '../lib/failure.js';
import { faultPoint } from '../lib/fault-points.js';
import {
  zfsCloneArgs,
  zfsInheritArgs,
  zfsLocalPropertiesArgs,
  zfsPromoteArgs,
  zfsRenameArgs,
  zfsSetArgs,
  zfsUnmountArgs,
} from './commands.js';
import type { DataControl, SnapshotNode } from './data-control.js';
import { requireCluster } from './kept-notes.js';
import { isMounted, mountAt } from './zfs-mount.js';
import { likeProperties } from './zfs-names.js';
import { zfsFailure, type Zfs } from './zfs-program.js';

type Returned = { outcome: 'returned' | 'already-there'; setAside: string | null };

/** Where the dataset was mounted, kept on the clone until it is mounted there; `inherited` when it has no mount point of its own. */
const MOUNTPOINT = 'pgr:mountpoint';
const INHERITED = 'inherited';

type Context = { node: SnapshotNode; control: DataControl; zfs: Zfs; dataset: string };

function namesFor(dataset: string, runId: string): { back: string; undone: string } {
  const short = shortRunId(runId);
  return { back: `${dataset}-back-${short}`, undone: `${dataset}-undone-${short}` };
}

async function exists(zfs: Zfs, target: string): Promise<boolean> {
  return (await zfs.get(target, ['type'])) !== null;
}

/** Null unless an earlier call came to its end. */
export async function finishedBefore({ zfs, dataset }: Context, copy: SafetyCopy): Promise<Returned | null> {
  const { undone } = namesFor(dataset, copy.runId);
  const facts = await zfs.get(dataset, [MOUNTPOINT, 'mounted']);
  if (facts === null || !(await exists(zfs, undone))) return null;
  if (facts.has(MOUNTPOINT) || facts.get('mounted')?.value !== 'yes') return null;
  return { outcome: 'already-there', setAside: undone };
}

/** `isHere`: the snapshot still belongs to the dataset. Needs: the server stopped. Throws SnapshotFailed with what ZFS said, SafetyCopyMissing. */
export async function returnByClone(context: Context, copy: SafetyCopy, isHere: boolean): Promise<Returned> {
  const { zfs, dataset, node, control } = context;
  const { back, undone } = namesFor(dataset, copy.runId);
  if (!(await exists(zfs, undone))) {
    await makeClone(context, copy, back, isHere);
    faultPoint('snapshot:cloned');
    await moveAside(context, undone);
  }
  faultPoint('snapshot:set-aside');
  if (!(await exists(zfs, dataset))) await zfs.change(zfsRenameArgs(back, dataset));
  faultPoint('snapshot:returned');
  await mountAgain(context);
  await requireCluster(control, node, node.dataDir, copy.systemIdentifier);
  return { outcome: 'returned', setAside: undone };
}

/** A clone like the dataset itself, promoted: the safety copy belongs to it then. */
async function makeClone({ zfs, dataset }: Context, copy: SafetyCopy, back: string, isHere: boolean): Promise<void> {
  const promoted = copy.name.replace(/^[^@]*/, back);
  if (isHere && !(await exists(zfs, back))) {
    const result = await zfs.run(zfsLocalPropertiesArgs(dataset));
    if (result.exitCode !== 0) throw zfsFailure(result);
    const { copied, mountpoint } = likeProperties(result.stdout);
    const properties = { ...copied, mountpoint: 'none', [MOUNTPOINT]: mountpoint ?? INHERITED };
    await zfs.change(zfsCloneArgs(copy.name, back, properties));
  }
  faultPoint('snapshot:back-cloned');
  if (await exists(zfs, copy.name)) await zfs.change(zfsPromoteArgs(back));
  if (await exists(zfs, promoted)) return;
  throw stepFailure('SafetyCopyMissing', `neither ${copy.name} nor ${promoted} exists`);
}

/** The dataset keeps its mount point for a person who wants it back, and is not mounted there by itself. */
async function moveAside({ zfs, dataset, node, control }: Context, undone: string): Promise<void> {
  await zfs.change(zfsSetArgs('canmount', 'noauto', dataset));
  if (await isMounted(zfs, dataset)) {
    await control.requireStopped(node.dataDir);
    await zfs.change(zfsUnmountArgs(dataset));
  }
  await zfs.change(zfsRenameArgs(dataset, undone));
}

async function mountAgain({ zfs, dataset }: Context): Promise<void> {
  const wanted = (await zfs.get(dataset, [MOUNTPOINT]))?.get(MOUNTPOINT)?.value;
  if (wanted !== undefined) await setMountPoint(zfs, dataset, wanted);
  const place = (await zfs.get(dataset, ['mountpoint']))?.get('mountpoint')?.value ?? '/';
  await mountAt(zfs, dataset, place);
  await zfs.change(zfsInheritArgs(MOUNTPOINT, dataset));
}

/** Never to what it is: a mounted dataset would be mounted anew, by zfs-fuse in the background. */
async function setMountPoint(zfs: Zfs, dataset: string, wanted: string): Promise<void> {
  const present = (await zfs.get(dataset, ['mountpoint']))?.get('mountpoint');
  if (wanted === INHERITED) {
    if (present?.source === 'local') await zfs.change(zfsInheritArgs('mountpoint', dataset));
  } else if (present?.value !== wanted) {
    await zfs.change(zfsSetArgs('mountpoint', wanted, dataset));
  }
}
