/** An exported record: everything that is needed to verify it somewhere else. */
import { readFile } from 'node:fs/promises';

import type { RecordEntry } from '../shared/contracts/record.js';
import { PgrFailure } from '../shared/pgr-failure.js';
import { verifyEntries, type RecordHead } from '../shared/record-chain.js';
import { isClosed, problemsOfClose } from '../shared/record-close.js';
import type { Verification } from './render/record.js';

export type ExportedRecord = { run: string; runId: string; head: RecordHead; entries: RecordEntry[] };

/** The document of `pgr audit export`. */
export function exportDocument(entries: RecordEntry[]): ExportedRecord {
  const first = entries[0];
  const last = entries.at(-1);
  return {
    run: first?.run ?? '',
    runId: first?.runId ?? '',
    head: { seq: last?.seq ?? 0, hash: last?.hash ?? '' },
    entries,
  };
}

/** Reads an exported file. Throws BadUsage for anything else. */
export async function readExport(file: string): Promise<ExportedRecord> {
  const text = await readFile(file, 'utf8').catch((cause: unknown) => {
    throw new PgrFailure('NotFound', `cannot read ${file}`, { hint: 'name a file made by `pgr audit export`', cause });
  });
  const value = parse(text);
  if (isExport(value)) return value;
  throw new PgrFailure('BadUsage', `${file} is not an exported record`, {
    hint: 'name a file made by `pgr audit export`',
  });
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function isExport(value: unknown): value is ExportedRecord {
  if (typeof value !== 'object' || value === null || !('entries' in value) || !('head' in value)) return false;
  const { entries, head } = value;
  const isEntry = (entry: unknown): boolean =>
    typeof entry === 'object' && entry !== null && 'seq' in entry && 'hash' in entry && 'body' in entry;
  const isHead = typeof head === 'object' && head !== null && 'seq' in head && 'hash' in head;
  return isHead && Array.isArray(entries) && entries.every(isEntry);
}

/** Verifies without any server. A file without a result was exported while the run lived, or is cut: both are said. */
export function verifyExport({ run, entries, head }: ExportedRecord): Verification {
  const foreign = entries
    .filter((entry) => entry.run !== run)
    .map(({ seq }) => ({ run, seq, problem: 'belongs to another run' }));
  const open = isClosed(entries)
    ? []
    : [
        {
          run,
          seq: entries.length,
          problem: 'no result closes the record: it was exported too early, or its end is cut',
        },
      ];
  const problems = [...verifyEntries(entries, head), ...problemsOfClose(entries), ...foreign, ...open];
  return { records: 1, entries: entries.length, problems };
}
