import type { RecordEntry, RecordProblem, VerifyRecordsResult } from '../../shared/contracts/record.js';
import { verifyEntries } from '../../shared/record-chain.js';
import { isClosed, problemsOfClose } from '../../shared/record-close.js';
import { mapLimited } from './map-limited.js';
import type { RecordStore, StoredText } from './record-store.js';
import { foldersOf, parseEntry, recordFolderFor } from './stored-record.js';

const PARALLEL = 8;

type Verified = { entries: RecordEntry[]; problems: RecordProblem[] };

/**
 * Activity `verifyRecords`: recomputes every hash and link of the records of `run` (all records when left out) and compares
 * them with the head that is kept apart. Whether a record without a `result` is finished only Temporal knows; those are listed.
 */
export function createVerifyRecords(store: RecordStore) {
  return async function verifyRecords({ run }: { run?: string }): Promise<VerifyRecordsResult> {
    const folders = run === undefined ? await store.listFolders() : await foldersOf(store, run);
    const verified = await mapLimited(folders, PARALLEL, (folder) => verifyFolder(store, folder));
    return {
      records: verified.length,
      entries: verified.reduce((sum, { entries }) => sum + entries.length, 0),
      problems: verified.flatMap(({ problems }) => problems),
      unfinished: verified.flatMap(({ entries }) => unfinishedOf(entries)),
    };
  };
}

async function verifyFolder(store: RecordStore, folder: string): Promise<Verified> {
  // Head first: an entry that is added meanwhile lies one beyond it, which is allowed.
  const head = await store.readHead(folder);
  const texts = await store.readFolder(folder);
  const entries: RecordEntry[] = [];
  const problems: RecordProblem[] = [];
  for (const stored of texts) {
    const entry = stored.seq === null ? null : parseEntry(stored.text);
    const problem = problemOf(stored, entry, folder);
    if (problem !== null) problems.push({ run: folder, seq: stored.seq ?? 0, problem });
    if (entry !== null) entries.push(entry);
  }
  return { entries, problems: [...problems, ...verifyEntries(entries, head), ...problemsOfClose(entries)] };
}

function problemOf(stored: StoredText, entry: RecordEntry | null, folder: string): string | null {
  if (stored.seq === null) return `${stored.name} is not an entry of this record`;
  if (entry === null) return `${stored.name} is not readable as an entry`;
  if (entry.seq !== stored.seq) return `${stored.name} holds entry ${String(entry.seq)}`;
  if (recordFolderFor(entry.run, entry.runId) !== folder) return `${stored.name} belongs to the record of ${entry.run}`;
  return null;
}

function unfinishedOf(entries: RecordEntry[]): VerifyRecordsResult['unfinished'] {
  const [first] = entries;
  if (first === undefined || isClosed(entries)) return [];
  return [{ run: first.run, runId: first.runId, entries: entries.length }];
}
