/**
 * Adds one entry to the record of a run. It returns only when the entry is durable: a change may start after that, never before
 * (invariant 9). A retry finds the entry there and says so; different content under the same number is a conflict, never overwritten.
 */
import type { AppendRecordInput, AppendRecordResult, RecordEntry } from '../../shared/contracts/record.js';
import { FIRST_PREVIOUS, hashOfEntry, type RecordHead } from '../../shared/record-chain.js';
import { stepFailure } from '../lib/failure.js';
import { faultPoint } from '../lib/fault-points.js';
import type { RecordStore } from './record-store.js';
import { formatEntry, parseEntry, recordFolderFor } from './stored-record.js';

/** Dies after the entry is durable and before the head names it. */
export const FAULT_RECORD_BEFORE_HEAD = 'record-before-head';

/** Activity `appendRecord`. */
export function createAppendRecord(store: RecordStore) {
  return async function appendRecord({ entry }: AppendRecordInput): Promise<AppendRecordResult> {
    if (hashOfEntry(entry) !== entry.hash) throw conflict(entry, 'its hash does not match its content');
    const folder = recordFolderFor(entry.run, entry.runId);
    const head = await store.readHead(folder);
    await requirePredecessor(store, folder, entry, head);
    const created = await store.createEntry(folder, entry.seq, formatEntry(entry));
    // Read back in both cases: what the store holds counts, not what the call said.
    await requireSame(store, folder, entry);
    faultPoint(FAULT_RECORD_BEFORE_HEAD);
    // A late attempt must not set the head back to an older entry.
    if ((head?.seq ?? 0) < entry.seq) await store.writeHead(folder, { seq: entry.seq, hash: entry.hash });
    return { outcome: created === 'created' ? 'written' : 'already-written' };
  };
}

/** The chain in the store must lead to this entry; a hole or a fork in the record is refused before anything is written. */
async function requirePredecessor(
  store: RecordStore,
  folder: string,
  entry: RecordEntry,
  head: RecordHead | null,
): Promise<void> {
  if (entry.seq === 1) {
    if (entry.previous !== FIRST_PREVIOUS) throw conflict(entry, 'a first entry follows nothing');
    return;
  }
  if (head?.seq === entry.seq - 1 && head.hash === entry.previous) return;
  const text = await store.readEntry(folder, entry.seq - 1);
  if (text === null) throw conflict(entry, `entry ${String(entry.seq - 1)} is missing`);
  if (parseEntry(text)?.hash !== entry.previous) throw conflict(entry, 'it does not follow the entry before it');
}

async function requireSame(store: RecordStore, folder: string, entry: RecordEntry): Promise<void> {
  const text = await store.readEntry(folder, entry.seq);
  if (text === null) {
    throw stepFailure('RecordUnavailable', `entry ${String(entry.seq)} of ${entry.run} was written and is not there`);
  }
  const found = parseEntry(text);
  if (found?.hash !== entry.hash || hashOfEntry(found) !== entry.hash)
    throw conflict(entry, 'another entry has this number already');
}

function conflict(entry: RecordEntry, problem: string) {
  return stepFailure('RecordConflict', `entry ${String(entry.seq)} of the record of ${entry.run}: ${problem}`, {
    next: [`pgr audit verify ${entry.run}`],
  });
}
