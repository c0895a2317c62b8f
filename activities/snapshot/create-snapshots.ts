/** Chooses the snapshot provider of a node by `snapshot.kind` of its config. */
import type { Config } from '../../config/schema.js';
import { notBuilt } from '../lib/not-built.js';
import type { SnapshotProvider } from '../lib/snapshot.js';

/** Providers of the nodes of a config. Throws EnvironmentUnknown or NotFound. */
export function createSnapshots(config: Config): (environment: string, node: string) => SnapshotProvider {
  return notBuilt('snapshots', config);
}
