import { shortRunId } from '../../shared/ids.js';
import type { RecordEntry, RecordProblem, RecordSummary } from '../../shared/contracts/record.js';
import { describeEntry } from './entry.js';
import { renderTable } from './table.js';
import { count, formatDuration, formatTime, secondsBetweenIso } from './text.js';

export type Verification = { records: number; entries: number; problems: RecordProblem[] };

export function renderRecordList(records: readonly RecordSummary[]): string {
  if (records.length === 0) return 'no records\n';
  const rows = records.map((record) => [
    record.run,
    shortRunId(record.runId),
    record.runbook,
    record.status ?? 'open',
    formatTime(record.startedAt),
    formatDuration(secondsBetweenIso(record.startedAt, record.endedAt) ?? 0),
    String(record.entries),
    record.requestedBy,
  ]);
  return renderTable(['RUN', 'RUN ID', 'RUNBOOK', 'STATUS', 'STARTED', 'TOOK', 'ENTRIES', 'BY'], rows);
}

/** One line an entry. */
export function renderEntries(entries: readonly RecordEntry[]): string {
  const rows = entries.map((entry) => [
    String(entry.seq),
    formatTime(entry.at),
    entry.body.kind,
    describeEntry(entry.body),
  ]);
  return renderTable(['SEQ', 'TIME', 'ENTRY', 'WHAT'], rows);
}

export function renderVerification({ records, entries, problems }: Verification): string {
  const seen = `${count(records, 'record')}, ${String(entries)} entries`;
  if (problems.length === 0) return `${seen}: every hash and link holds\n`;
  const lines = problems.map(({ run, seq, problem }) => `  ${run} entry ${String(seq)}: ${problem}`);
  return `${seen}: ${count(problems.length, 'problem')}\n${lines.join('\n')}\n`;
}
