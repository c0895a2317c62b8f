import type { FailureDetails } from '../failures.js';

/** What one entry says. `kind` names are stored data. */
export type RecordEntryBody =
  | { kind: 'run-started'; runbook: string; environment: string; requestedBy: string; reason: string; input: unknown }
  | { kind: 'plan'; plan: unknown; hash: string }
  | { kind: 'step-started'; step: string; title: string; attempt: number }
  | { kind: 'step-done'; step: string; result: unknown; seconds: number }
  | { kind: 'step-skipped'; step: string; by: string; reason: string }
  | { kind: 'step-failed'; step: string; code: string; message: string; details: FailureDetails }
  | { kind: 'gate-opened'; gate: string; code: string; evidence: unknown; expiresAt: string; statement?: string }
  | { kind: 'gate-reminder'; gate: string; waitedSeconds: number }
  | { kind: 'gate-expired'; gate: string }
  | { kind: 'gate-closed'; gate: string; outcome: 'approved' | 'rejected' }
  | {
      kind: 'decision';
      gate: string;
      decision: 'approve' | 'reject';
      by: string;
      identity: 'declared' | 'signed';
      entry: 'update' | 'signal';
      comment: string;
      code: string;
      counted: boolean;
      why: string | null;
    }
  | { kind: 'command'; command: 'retry' | 'skip' | 'abort' | 'discard'; by: string; reason: string }
  | { kind: 'undo-started'; step: string; title: string }
  | { kind: 'undo-done'; step: string; result: unknown }
  | { kind: 'undo-failed'; step: string; message: string }
  | { kind: 'note'; text: string; data?: unknown }
  | { kind: 'result'; status: string; result: unknown };

/** One link of the chain: `hash` is SHA-256 over the canonical JSON of all other fields. */
export type RecordEntry = {
  api: 1;
  run: string;
  runId: string;
  /** 1, 2, 3 … without a gap. */
  seq: number;
  /** UTC, from the workflow's clock. */
  at: string;
  body: RecordEntryBody;
  /** Hash of the entry before; 64 zeros for the first. */
  previous: string;
  hash: string;
};

export type AppendRecordInput = { environment: string; entry: RecordEntry };
export type AppendRecordResult = { outcome: 'written' | 'already-written' };

export type RecordSummary = {
  run: string;
  runId: string;
  environment: string;
  runbook: string;
  requestedBy: string;
  reason: string;
  startedAt: string;
  endedAt: string | null;
  status: string | null;
  entries: number;
};

export type ReadRecordResult = { outcome: 'found'; entries: RecordEntry[] } | { outcome: 'none' };

export type RecordProblem = { run: string; seq: number; problem: string };
export type VerifyRecordsResult = {
  records: number;
  entries: number;
  problems: RecordProblem[];
  /** Records that no `result` closes: fine while the run lives, a cut tail when it does not (Temporal knows which). */
  unfinished: { run: string; runId: string; entries: number }[];
};
