import type { FailureDetails } from '../../shared/failures.js';
import type { RecordEntryBody } from '../../shared/contracts/record.js';
import type { RunView } from '../../shared/contracts/status.js';
import type { FailureFacts } from './failures.js';
import type { Notices } from './notices.js';

/** What the parts of a run (gates, attention, undo) share. `run.ts` joins them. */
export type Engine = {
  view: RunView;
  runId: string;
  /** Shows the state as it is now: search attributes and the page in the Web UI. */
  publish(): void;
  /** Adds an entry to the record; it is written with the next {@link Engine.mustRecord} or {@link Engine.flush}. */
  push(body: RecordEntryBody): void;
  /** Begins to write what waits; what cannot be written waits for the next {@link Engine.mustRecord}. Never throws. */
  flush(): Promise<void>;
  /** The same for an answer to a person: a record that is down does not hold it up for longer than they wait. */
  flushSoon(): Promise<void>;
  /** Adds an entry and returns only when it is written; parks at `step` until then. Throws when the run is aborted meanwhile. */
  mustRecord(body: RecordEntryBody, step: string): Promise<void>;
  /** Tells people, without waiting for it. */
  notices: Notices;
  isAborted(): boolean;
  throwIfAborted(): void;
};

/** The entry of a failed step. */
export function stepFailed(step: string, facts: FailureFacts): RecordEntryBody {
  const details: FailureDetails = { hint: facts.hint, next: facts.next };
  return { kind: 'step-failed', step, code: facts.code, message: facts.message, details };
}
