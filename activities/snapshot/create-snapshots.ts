/** Chooses the snapshot provider of a node by `snapshot.kind` of its config. */
import path from 'node:path';

import type { Config } from '../../config/schema.js';
import type { SafetyCopy } from '../../shared/contracts/rebuild.js';
import { environmentOf, nodeNamed } from '../lib/environment-config.js';
import type { SnapshotProvider } from '../lib/snapshot.js';
import { createBtrfsProvider } from './btrfs.js';
import type { DataControl } from './data-control.js';
import { createDirectoryProvider } from './directory.js';
import { createZfsProvider } from './zfs.js';

/** Providers of the nodes of a config. Throws EnvironmentUnknown or NotFound. */
export function createSnapshots(
  config: Config,
  control: DataControl,
): (environment: string, node: string) => SnapshotProvider {
  return (environment, name) => {
    const found = nodeNamed(environmentOf(config, environment), name);
    const { host, binDir, snapshot } = found;
    const node = { environment, name, host, binDir, dataDir: path.resolve(found.dataDir) };
    const directory = createDirectoryProvider(node, control);
    if (snapshot.kind === 'directory') return directory;
    if (snapshot.kind === 'btrfs') return withMoved(createBtrfsProvider(node, snapshot, control), directory);
    const zfs = createZfsProvider(node, snapshot, control);
    const remove = async (copy: SafetyCopy): Promise<void> => {
      if (!(await zfs.removeMoved(copy))) await directory.remove(copy);
    };
    return withMoved(zfs, { ...directory, remove });
  };
}

/** Promotions move data aside whatever the provider is: those copies have notes like renamed directories, and are listed and removed as well. */
function withMoved(provider: SnapshotProvider, directory: SnapshotProvider): SnapshotProvider {
  const of = (copy: SafetyCopy): SnapshotProvider => (copy.provider === 'directory' ? directory : provider);
  return {
    ...provider,
    list: async () =>
      [...(await provider.list()), ...(await directory.list())].sort(
        (a, b) => Date.parse(a.createdAt) - Date.parse(b.createdAt),
      ),
    putBack: (copy) => of(copy).putBack(copy),
    remove: (copy) => of(copy).remove(copy),
  };
}
