import type { RecordSummary } from '../../shared/contracts/record.js';
import { mapLimited } from './map-limited.js';
import type { RecordStore } from './record-store.js';
import { readEnds, readEntries, summarise } from './stored-record.js';

/** Reads in flight at once: enough for a store far away, few enough for a small one. */
const PARALLEL = 16;

/** Activity `listRecords`: newest first. A damaged record is listed as well as it can be; `verifyRecords` says what is wrong. */
export function createListRecords(store: RecordStore) {
  return async function listRecords(input: { environment?: string; sinceIso?: string }): Promise<RecordSummary[]> {
    const summaries = await mapLimited(await store.listFolders(), PARALLEL, (folder) => summaryOf(store, folder));
    return summaries
      .filter((summary) => summary !== null)
      .filter(({ environment }) => input.environment === undefined || environment === input.environment)
      .filter(({ startedAt }) => input.sinceIso === undefined || startedAt >= input.sinceIso)
      .sort((a, b) => (a.startedAt < b.startedAt ? 1 : -1));
  };
}

async function summaryOf(store: RecordStore, folder: string): Promise<RecordSummary | null> {
  const ends = await readEnds(store, folder);
  if (ends !== null) return summarise(ends.first, ends.last);
  const entries = await readEntries(store, folder);
  const first = entries?.[0];
  const last = entries?.at(-1);
  return first === undefined || last === undefined ? null : summarise(first, last);
}
