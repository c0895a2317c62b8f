/** What commands ask of Temporal. `client.ts` is the real one; tests give their own. */
import type { StepProgress, RunView } from '../shared/contracts/status.js';
import type { FailureType } from '../shared/failures.js';

/** Names of workflow functions (stored data). */
type WorkflowName =
  | 'pitr'
  | 'promote'
  | 'restoreDump'
  | 'restoreDev'
  | 'restoreController'
  | 'promoteDump'
  | 'undo'
  | 'takeBase'
  | 'flipDb'
  | 'rebuildStandby'
  | 'undoRebuild'
  | 'pruneSnapshots'
  | 'listSnapshots'
  | 'topology'
  | 'window'
  | 'check'
  | 'notifyTest'
  | 'audit';

export type StartRequest = {
  workflow: WorkflowName;
  id: string;
  input: unknown;
  environment: string;
  requestedBy: string;
  reason: string;
  /** One line for lists and the Temporal UI. */
  summary: string;
};

export type StartedRun = { run: string; runId: string };

/** A run as Temporal lists it. */
export type ListedRun = {
  run: string;
  runId: string;
  runbook: string;
  environment: string;
  /** What the engine says in search attribute PgrStatus while it lives, else derived from how the execution closed. */
  status: string;
  step: string | null;
  target: string | null;
  requestedBy: string | null;
  reason: string | null;
  startedAt: string;
  endedAt: string | null;
  open: boolean;
};

type UpdateRequest = { run: string; runId?: string; update: string; input: unknown };

/** Progress of a pending activity, from its last heartbeat. */
export type ActivityProgress = Pick<StepProgress, 'done' | 'unit'> & { total: number | null; note?: string };

export type PendingActivity = {
  activity: string;
  attempt: number;
  /** Message of the last failed attempt, null when there was none. */
  lastFailure: string | null;
  lastFailureCode: FailureType | null;
  progress: ActivityProgress | null;
};

/** `result` is what the workflow returned, or what its failure carries (a rejected recovery still names its sandbox). */
export type RunOutcome = { state: 'open' } | { state: 'completed' | 'failed'; result: unknown; error: unknown };

export interface RunClient {
  /** Starts a runbook; a run that holds the id already is EnvironmentBusy, naming it and its step. */
  start(request: StartRequest): Promise<StartedRun>;
  /** Starts a short workflow and waits for its result. No answer in time is HostUnreachable, naming the queue. */
  execute(request: StartRequest, deadlineMs: number): Promise<unknown>;
  /** Runs that a text may mean: a workflow id, the start of one, `id@start of its run id`, or a run id. Newest first. */
  find(text: string): Promise<ListedRun[]>;
  /** Runs of runbooks, newest first. */
  list(filter: { environment?: string; sinceIso?: string; limit?: number }): Promise<ListedRun[]>;
  /** Null when Temporal does not know the run (any more); throws when no worker answers the query. */
  status(run: string, runId?: string): Promise<RunView | null>;
  pending(run: string, runId?: string): Promise<PendingActivity[]>;
  update(request: UpdateRequest): Promise<unknown>;
  /** How the execution of a run ended; null when Temporal does not know it. */
  outcome(run: string, runId?: string): Promise<RunOutcome | null>;
  /** True when somebody polled the queue in the last minutes. */
  hasWorker(queue: string): Promise<boolean>;
  /** Page of a run in the Temporal Web UI, null when the config names no UI. */
  uiLink(run: string, runId: string): string | null;
  close(): Promise<void>;
}
