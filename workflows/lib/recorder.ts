/**
 * Writes the record of a run. Entries are linked when they are pushed and written in that order; an entry that could not be written
 * stays in front of all later ones, the same to the byte, so a store that was down never gets a hole or two entries of one number.
 */
import { CancellationScope } from '@temporalio/workflow';

import { linkEntry, EMPTY_HEAD, type RecordHead } from '../../shared/record-chain.js';
import type { RecordEntry, RecordEntryBody } from '../../shared/contracts/record.js';
import { record } from './activity-proxies.js';
import { nowIso } from './clock.js';
import { fitForHistory } from './payload-size.js';

export type Recorder = {
  /** Adds an entry to those that wait; ignored after {@link Recorder.close}. */
  push(body: RecordEntryBody): void;
  /** Writes all that waits. Throws what the activity throws; the entries wait on. */
  flush(): Promise<void>;
  /** Nothing follows: the last entry pushed was the result. */
  close(): void;
};

/** One per run. */
export function createRecorder(environment: string, run: string, runId: string): Recorder {
  const waiting: RecordEntry[] = [];
  let head: RecordHead = EMPTY_HEAD;
  let closed = false;
  let writing: Promise<void> | null = null;

  const writeAll = async (): Promise<void> => {
    for (let entry = waiting[0]; entry !== undefined; entry = waiting[0]) {
      await record.appendRecord({ environment, entry });
      waiting.shift();
    }
  };

  return {
    push(body) {
      if (closed) return;
      const entry = linkEntry(head, { run, runId, at: nowIso(), body: fitForHistory(body) });
      head = { seq: entry.seq, hash: entry.hash };
      waiting.push(entry);
    },
    async flush() {
      while (waiting.length > 0) {
        // Not part of any scope that an abort cancels: what was decided or done is recorded whatever happens next.
        writing ??= CancellationScope.nonCancellable(writeAll).finally(() => {
          writing = null;
        });
        await writing;
      }
    },
    close() {
      closed = true;
    },
  };
}
