/** Who brings WAL into the backup store: the servers with their archive_command, or a receiver of the store that streams it from them. */
import type { ActivityDeps } from './deps.js';

/** False where the store streams WAL itself: then what a server archives, if anything, is not this store's business. */
export async function serversArchive(deps: Pick<ActivityDeps, 'store'>, environment: string): Promise<boolean> {
  return (await deps.store(environment)).walReceiver === undefined;
}
