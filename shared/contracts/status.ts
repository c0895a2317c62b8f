import type { DecisionOutcome } from './decisions.js';
import type { Boundary } from './plan.js';
import type { EvidenceCheck, SandboxState } from './sandbox.js';

export type RunStatus =
  'running' | 'waiting-approval' | 'needs-attention' | 'completed' | 'rejected' | 'aborted' | 'failed';
export type StepStatus = 'done' | 'running' | 'waiting' | 'skipped' | 'failed' | 'pending';

export type StepProgress = {
  done: number;
  total: number;
  unit: 'bytes' | 'lsn';
  ratePerSecond: number;
  etaSeconds: number | null;
  note?: string;
};

export type StepView = {
  id: string;
  title: string;
  status: StepStatus;
  startedAt: string | null;
  endedAt: string | null;
  attempts: number;
  progress?: StepProgress;
};

export type PlanView = {
  hash: string;
  target?: { kind: string; value?: string };
  base?: { id: string; endedAt: string };
  boundary?: Boundary;
  /** Of flip-db. */
  flip?: {
    from: string;
    to: string;
    failover: boolean;
    mode: string;
    lagBytes: number | null;
    expectedOutageMs: number;
    routing: string;
    poolers: string[];
  };
  /** Of rebuild-standby. */
  rebuild?: {
    node: string;
    from: string;
    method: string;
    why: string;
    copyBytes: number;
    estimateSeconds: number;
    safetyCopy: { provider: string; name: string };
  };
  /** Lines for people: what will happen. */
  summary: string[];
};

export type GateView = {
  name: string;
  code: string;
  required: number;
  openedAt: string;
  expiresAt: string;
  expired: boolean;
  decisions: DecisionOutcome[];
  evidence: EvidenceCheck[];
  /** What a person states by approving; for what no machine can find out. */
  statement?: string;
};

/** Answer of the query `status`; with `"api": 1` it is the document of `pgr show --json` (cli.md). */
export type RunView = {
  run: string;
  runId: string;
  environment: string;
  runbook: string;
  requestedBy: string;
  reason: string;
  status: RunStatus;
  startedAt: string;
  endedAt: string | null;
  steps: StepView[];
  plan: PlanView | null;
  gate: GateView | null;
  /** Decisions at gates that are closed already. */
  decisions: DecisionOutcome[];
  sandbox: { host: string; port: number; url: string; state: SandboxState; expiresAt: string | null } | null;
  measured: Partial<
    Record<
      'restoreSeconds' | 'replaySeconds' | 'rtoSeconds' | 'rpoSeconds' | 'writeOutageMs' | 'rebuildSeconds',
      number
    >
  >;
  failure: {
    step: string;
    code: string;
    message: string;
    hint: string;
    choices: ('retry' | 'skip' | 'abort')[];
  } | null;
  /** Run of the child runbook, while there is one. */
  child: string | null;
  /** What was proven about the result, once it was; at an open gate it stands there too. */
  evidence?: EvidenceCheck[];
  /** Commands for a person, in order; of a run that ends with something to do by hand. */
  next?: string[];
  /** Steps put back by an abort, in the order in which they were. */
  undo?: StepView[];
};
