import type { ReadRecordResult } from '../../shared/contracts/record.js';
import type { RecordStore } from './record-store.js';
import { findRecord } from './stored-record.js';

/** Activity `readRecord`: the newest record of a workflow id, or the one of `id@<start of its run id>`. */
export function createReadRecord(store: RecordStore) {
  return async function readRecord({ run }: { run: string }): Promise<ReadRecordResult> {
    const entries = await findRecord(store, run);
    return entries === null ? { outcome: 'none' } : { outcome: 'found', entries };
  };
}
