/**
 * Argument arrays of `zfs` and `btrfs`. Pure. Only the subset that zfs-fuse and OpenZFS 2.x share: `get -H -p` (no `list -p`), user properties on
 * snapshots, hold and release, clone, promote, rename. No `-r`, no `-R`, no `-f` on anything that destroys.
 */

/** Our hold on a safety copy: as long as it is there, ZFS refuses to destroy the snapshot, also as part of its dataset. */
const HOLD_TAG = 'pgr';

/** User properties say whose a snapshot is; they come into being together with it, so no snapshot of ours is ever without them. */
export function zfsSnapshotArgs(snapshot: string, properties: Readonly<Record<string, string>>): string[] {
  return ['snapshot', ...propertyArgs(properties), snapshot];
}

/** Values with `-p`: bytes and seconds as numbers. One line per target and property: name, property, value, source. */
export function zfsGetArgs(properties: readonly string[], targets: readonly string[]): string[] {
  return ['get', '-H', '-p', '-o', 'name,property,value,source', properties.join(','), ...targets];
}

/** Properties that were set on this dataset itself: what a clone must get to be like it. */
export function zfsLocalPropertiesArgs(dataset: string): string[] {
  return ['get', '-H', '-p', '-s', 'local', '-o', 'property,value', 'all', dataset];
}

/** Names of snapshots, or of datasets, at and below a dataset. */
export function zfsListArgs(type: 'snapshot' | 'filesystem', dataset: string): string[] {
  return ['list', '-H', '-o', 'name', '-t', type, '-r', dataset];
}

export function zfsHoldArgs(snapshot: string): string[] {
  return ['hold', HOLD_TAG, snapshot];
}

export function zfsReleaseArgs(snapshot: string): string[] {
  return ['release', HOLD_TAG, snapshot];
}

/** Destroys exactly one clone or snapshot, and only when nothing hangs on it. */
export function zfsDestroyArgs(target: string): string[] {
  return ['destroy', target];
}

export function zfsCloneArgs(snapshot: string, clone: string, properties: Readonly<Record<string, string>>): string[] {
  return ['clone', ...propertyArgs(properties), snapshot, clone];
}

export function zfsCreateArgs(dataset: string, properties: Readonly<Record<string, string>>): string[] {
  return ['create', ...propertyArgs(properties), dataset];
}

export function zfsPromoteArgs(clone: string): string[] {
  return ['promote', clone];
}

export function zfsRenameArgs(from: string, to: string): string[] {
  return ['rename', from, to];
}

export function zfsSetArgs(property: string, value: string, target: string): string[] {
  return ['set', `${property}=${value}`, target];
}

export function zfsInheritArgs(property: string, target: string): string[] {
  return ['inherit', property, target];
}

export function zfsMountArgs(dataset: string): string[] {
  return ['mount', dataset];
}

export function zfsUnmountArgs(dataset: string): string[] {
  return ['unmount', dataset];
}

function propertyArgs(properties: Readonly<Record<string, string>>): string[] {
  return Object.entries(properties).flatMap(([name, value]) => ['-o', `${name}=${value}`]);
}

/** A snapshot of a subvolume as a subvolume of its own; onto an existing directory it would nest inside it, so the caller looks first. */
export function btrfsSnapshotArgs(from: string, to: string, access: 'read-only' | 'writable'): string[] {
  return ['subvolume', 'snapshot', ...(access === 'read-only' ? ['-r'] : []), from, to];
}

/** Subvolumes below a directory: they are not part of a snapshot of it. */
export function btrfsListBelowArgs(dir: string): string[] {
  return ['subvolume', 'list', '-o', dir];
}

export function btrfsCreateArgs(dir: string): string[] {
  return ['subvolume', 'create', dir];
}

export function btrfsDeleteArgs(dir: string): string[] {
  return ['subvolume', 'delete', dir];
}

/** A program as it is called: through `sudo -n` where the config says so (never a prompt that nobody answers). */
export function asConfigured(program: string, args: readonly string[], sudo: boolean): [string, string[]] {
  return sudo ? ['sudo', ['-n', program, ...args]] : [program, [...args]];
}
