/** Who brings WAL into the backup store: the servers with their archive_command, or the store, which streams it from them. */
import type { BackupStore } from './backup-store.js';

type Streams = Pick<BackupStore, 'streamsWal' | 'walReceiver'>;

/** True where WAL reaches the store without an archive_command: by a receiver of its own, or by one that it was told to run. */
export async function receivesWal(store: Streams): Promise<boolean> {
  return hasReceiver(store) || (await store.streamsWal?.()) === true;
}

/**
 * Who may bring the WAL of a server: only the server itself (`server`), it or the store, one of them is enough (`either`), or only the store, whatever the
 * server archives (`store`).
 */
export type WalDuty = 'server' | 'either' | 'store';

/** Asks the store where its kind does not say it. */
export async function walDutyOf(store: Streams): Promise<WalDuty> {
  if (hasReceiver(store)) return 'store';
  return (await receivesWal(store)) ? 'either' : 'server';
}

/** True where what a server archives, if anything, is not this store's business. */
export function hasReceiver(store: Streams): boolean {
  return store.walReceiver !== undefined;
}
