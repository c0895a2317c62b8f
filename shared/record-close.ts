import type { RecordEntry, RecordProblem } from './contracts/record.js';

/** Entries behind the `result` that closes a run: somebody added them later, with a chain that fits. */
export function problemsOfClose(entries: readonly RecordEntry[]): RecordProblem[] {
  const result = entries.findIndex((entry) => entry.body.kind === 'result');
  if (result === -1) return [];
  return entries
    .slice(result + 1)
    .map(({ run, seq }) => ({ run, seq, problem: 'was added after the result that closed the run' }));
}

/** True when a `result` closes the record; without one the run still goes on, or its tail was cut. */
export function isClosed(entries: readonly RecordEntry[]): boolean {
  return entries.some((entry) => entry.body.kind === 'result');
}
