/** Records as entries, on top of a store that only knows texts. */
import type { RecordEntry, RecordSummary } from '../../shared/contracts/record.js';
import { shortRunId, slugFor } from '../../shared/ids.js';
import { stepFailure } from '../lib/failure.js';
import type { RecordStore, StoredText } from './record-store.js';

/** Folder of one execution: `<slug of run>.<first 8 of runId>`; run names are used again (`<env>/change`), run ids are not. */
export function recordFolderFor(run: string, runId: string): string {
  return `${slugFor(run)}.${shortRunId(runId)}`;
}

/** An entry's text; the key order is that of the type, one entry a line-broken document that people can read. */
export function formatEntry(entry: RecordEntry): string {
  return `${JSON.stringify(entry, null, 1)}\n`;
}

/** The entry in a text, null when it is none. */
export function parseEntry(text: string): RecordEntry | null {
  try {
    const value: unknown = JSON.parse(text);
    return isEntry(value) ? value : null;
  } catch {
    return null;
  }
}

function isEntry(value: unknown): value is RecordEntry {
  if (typeof value !== 'object' || value === null) return false;
  const entry = value as Partial<Record<keyof RecordEntry, unknown>>;
  return (
    typeof entry.run === 'string' &&
    typeof entry.runId === 'string' &&
    typeof entry.seq === 'number' &&
    typeof entry.at === 'string' &&
    typeof entry.hash === 'string' &&
    typeof entry.previous === 'string' &&
    typeof entry.body === 'object' &&
    entry.body !== null
  );
}

/** The readable entries of a folder in their order; null when the folder holds none. */
export async function readEntries(store: RecordStore, folder: string): Promise<RecordEntry[] | null> {
  const texts = await store.readFolder(folder);
  const entries = texts.flatMap((stored) => entryOf(stored));
  return entries.length === 0 ? null : entries;
}

function entryOf(stored: StoredText): RecordEntry[] {
  if (stored.seq === null) return [];
  const entry = parseEntry(stored.text);
  return entry === null ? [] : [entry];
}

/** First and last entry of a folder without reading those between; null when either is unreadable. */
export async function readEnds(
  store: RecordStore,
  folder: string,
): Promise<{ first: RecordEntry; last: RecordEntry } | null> {
  const [firstText, head] = await Promise.all([store.readEntry(folder, 1), store.readHead(folder)]);
  const first = firstText === null ? null : parseEntry(firstText);
  if (first === null) return null;
  if (head === null || head.seq <= 1) return { first, last: first };
  const lastText = await store.readEntry(folder, head.seq);
  const last = lastText === null ? null : parseEntry(lastText);
  return last === null ? null : { first, last };
}

/** What lists show of a record. A first entry of another kind (a damaged record) leaves the names empty. */
export function summarise(first: RecordEntry, last: RecordEntry): RecordSummary {
  return { ...startOf(first), ...endOf(last), run: first.run, runId: first.runId, entries: last.seq };
}

function startOf({ body, at }: RecordEntry) {
  if (body.kind !== 'run-started') return { environment: '', runbook: '', requestedBy: '', reason: '', startedAt: at };
  const { environment, runbook, requestedBy, reason } = body;
  return { environment, runbook, requestedBy, reason, startedAt: at };
}

function endOf({ body, at }: RecordEntry): Pick<RecordSummary, 'endedAt' | 'status'> {
  return body.kind === 'result' ? { endedAt: at, status: body.status } : { endedAt: null, status: null };
}

/** Folders that may hold `run`, which is a workflow id or `id@<start of the run id>`. */
export async function foldersOf(store: RecordStore, run: string): Promise<string[]> {
  const [name = '', runId = ''] = run.split('@');
  const wanted = `${slugFor(name)}.`;
  const folders = await store.listFolders();
  return folders.filter(
    (folder) =>
      folder.startsWith(wanted) &&
      /^[A-Za-z0-9_-]{1,13}$/.test(folder.slice(wanted.length)) &&
      folder.slice(wanted.length).startsWith(shortRunId(runId)),
  );
}

/** The newest record of `run`, null when there is none. Throws RecordConflict when its folder is there and nothing in it is readable. */
export async function findRecord(store: RecordStore, run: string): Promise<RecordEntry[] | null> {
  const [name = ''] = run.split('@');
  const folders = await foldersOf(store, run);
  const records: RecordEntry[][] = [];
  for (const folder of folders) {
    const entries = await readEntries(store, folder);
    if (entries === null) throw stepFailure('RecordConflict', `the record ${folder} holds no readable entry`);
    // Two names can share a slug (`a/b` and `a.b`); the entries say which one it is.
    if (entries[0]?.run === name) records.push(entries);
  }
  records.sort((a, b) => ((a[0]?.at ?? '') < (b[0]?.at ?? '') ? 1 : -1));
  return records[0] ?? null;
}
