/**
 * The hash chain of a record: every entry carries the hash of the one before, so an edited, cut or reordered entry shows.
 * The workflow links entries, stores write them, `pgr audit verify` walks them.
 */
import { canonicalJson } from './canonical-json.js';
import type { RecordEntry, RecordEntryBody, RecordProblem } from './contracts/record.js';
import { sha256Hex } from './sha256.js';

/** `previous` of the first entry. */
export const FIRST_PREVIOUS = '0'.repeat(64);

/** Number and hash of the last entry of a chain; a store keeps it apart, so that a record cut at its end shows. */
export type RecordHead = { seq: number; hash: string };

/** The head of a chain without entries. */
export const EMPTY_HEAD: RecordHead = { seq: 0, hash: FIRST_PREVIOUS };

export type EntryFacts = { run: string; runId: string; at: string; body: RecordEntryBody };

/** The next entry of a chain. The body is taken as JSON carries it, so that the hash still holds after a store has read it back. */
export function linkEntry(head: RecordHead, facts: EntryFacts): RecordEntry {
  const body = JSON.parse(JSON.stringify(facts.body)) as RecordEntryBody;
  const unsealed = {
    api: 1 as const,
    run: facts.run,
    runId: facts.runId,
    seq: head.seq + 1,
    at: facts.at,
    body,
    previous: head.hash,
  };
  return { ...unsealed, hash: sha256Hex(canonicalJson(unsealed)) };
}

/** The hash that an entry must carry: over the canonical JSON of all its other fields. */
export function hashOfEntry(entry: RecordEntry): string {
  return sha256Hex(canonicalJson({ ...entry, hash: undefined }));
}

/**
 * Everything that is wrong with the entries of one execution, given in the order of their names, against the head that is kept
 * apart (null when there is none). One entry beyond the head is allowed: a writer died between the two writes.
 */
export function verifyEntries(entries: readonly RecordEntry[], head: RecordHead | null): RecordProblem[] {
  const problems: RecordProblem[] = [];
  let last: RecordHead = EMPTY_HEAD;
  for (const entry of entries) {
    problems.push(...problemsOfEntry(entry, last, entries[0]?.runId ?? ''));
    last = { seq: entry.seq, hash: entry.hash };
  }
  return [...problems, ...problemsOfHead(entries, head)];
}

function problemsOfEntry(entry: RecordEntry, last: RecordHead, runId: string): RecordProblem[] {
  const found: string[] = [];
  if (entry.seq !== last.seq + 1) {
    found.push(`expected entry ${last.seq + 1} here, found ${entry.seq}: cut or reordered`);
  }
  if (entry.previous !== last.hash) found.push('does not follow the entry before it: edited, cut or reordered');
  if (entry.hash !== hashOfEntry(entry)) found.push('was edited: its hash does not fit its content');
  if (entry.runId !== runId) found.push('belongs to another execution');
  return found.map((problem) => ({ run: entry.run, seq: entry.seq, problem }));
}

function problemsOfHead(entries: readonly RecordEntry[], head: RecordHead | null): RecordProblem[] {
  const last = entries.at(-1);
  if (last === undefined) return [];
  const say = (problem: string): RecordProblem[] => [{ run: last.run, seq: last.seq, problem }];
  // A first entry without a head: the writer died between the two writes.
  if (head === null) return last.seq <= 1 ? [] : say('the head of the record is missing');
  if (last.seq < head.seq) return say(`entries ${last.seq + 1} to ${head.seq} are missing at the end: cut`);
  if (last.seq > head.seq + 1) return say(`the head names entry ${head.seq}, the record goes on to ${last.seq}`);
  const named = entries.find((entry) => entry.seq === head.seq);
  return named?.hash === head.hash ? [] : say('the head names another entry under this number: edited');
}
