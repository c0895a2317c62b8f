/** Who brings WAL into the backup store: the servers with their archive_command, or the store, which streams it from them. */
import type { BackupStore } from './backup-store.js';

type Streams = Pick<BackupStore, 'streamsWal' | 'walReceiver'>;

/** True where WAL reaches the store without an archive_command: by a receiver of its own, or by one that it was told to run. */
export async function receivesWal(store: Streams): Promise<boolean> {
  return hasReceiver(store) || (await store.streamsWal?.()) === true;
}

/** True where what a server archives, if anything, is not this store's business. */
export function hasReceiver(store: Streams): boolean {
  return store.walReceiver !== undefined;
}
