/**
 * Where records are kept. A store only keeps texts under names and never overwrites an entry; what the texts mean (hash chain,
 * idempotence, verification) is the same for every store and lives in the activities beside this file.
 */
import type { RecordHead } from '../../shared/record-chain.js';

/** One entry as it lies there: `name` is the file or object name, `seq` null when the name is not that of an entry. */
export type StoredText = { name: string; seq: number | null; text: string };

export interface RecordStore {
  /** Folders of all records. Throws RecordUnavailable when they cannot be listed: unknown is not "none". */
  listFolders(): Promise<string[]>;
  /** Everything in a folder but its head, in name order. Unknown names are returned too, so that foreign files show. */
  readFolder(folder: string): Promise<StoredText[]>;
  readEntry(folder: string, seq: number): Promise<string | null>;
  /** Creates the entry durably, or says that something is there already; never overwrites. */
  createEntry(folder: string, seq: number, text: string): Promise<'created' | 'exists'>;
  readHead(folder: string): Promise<RecordHead | null>;
  writeHead(folder: string, head: RecordHead): Promise<void>;
}

export const HEAD_NAME = 'head.json';

/** `000001.json`: six digits sort as text, and no run comes near a million entries. */
export function entryNameFor(seq: number): string {
  return `${String(seq).padStart(6, '0')}.json`;
}

/** Sequence number of an entry's name, null for any other name. */
export function seqOfEntryName(name: string): number | null {
  const match = /^(\d{6})\.json$/.exec(name);
  return match ? Number(match[1]) : null;
}

/** Reads a head; a head that is no longer one says so by a sequence number that fits nothing. */
export function parseHead(text: string): RecordHead {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null && 'seq' in value && 'hash' in value) {
      if (typeof value.seq === 'number' && typeof value.hash === 'string') return { seq: value.seq, hash: value.hash };
    }
  } catch {
    // falls through: damaged
  }
  return { seq: Number.MAX_SAFE_INTEGER, hash: 'damaged' };
}
