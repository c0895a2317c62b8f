/** Inputs of the workflows: one object each, plain JSON, no secret. */
import type { TargetSpec } from '../target-time.js';
import type { DecisionOutcome } from './decisions.js';
import type { DevMode } from './dev.js';
import type { ClusterLocale, DumpPlan, DumpSource } from './dump.js';
import type { FlipMode, FlipPlan } from './flip.js';
import type { RecoveryPlan } from './plan.js';
import type { PromotionResult } from './promotion.js';
import type { RebuildMethod, RebuildPlan, RebuildResult, SafetyCopy } from './rebuild.js';
import type { ReadRecordResult, RecordSummary, VerifyRecordsResult } from './record.js';
import type { EvidenceCheck, SandboxRef } from './sandbox.js';

export type RunRequest = { environment: string; requestedBy: string; reason: string; requestedAt: string };

export type PitrInput = RunRequest & {
  target: TargetSpec;
  promote: boolean;
  host?: string;
  /** `--store`: this backup store and no other. */
  store?: string;
  ttlSeconds?: number;
  /** `pgr pitr --plan`: ends after the step check-target. */
  planOnly?: boolean;
};

/** What a pitr run with `planOnly` ends with. */
export type PlannedRecovery = { outcome: 'planned'; plan: RecoveryPlan };

export type RestoreDumpInput = RunRequest & {
  source: DumpSource;
  globals: string | null;
  jobs: number | null;
  locale: Partial<ClusterLocale> | null;
  quick: boolean;
  /** Ask for approval, then leave a cluster that is stopped cleanly and flushed, for a person to put into production. */
  handOver: boolean;
  /** Go on with the runbook `dump-promotion`, which asks for approval with a plan of its own. */
  promote?: boolean;
  host?: string;
  ttlSeconds?: number;
  /** `pgr restore-dump --plan`: ends after the step check-dump. */
  planOnly?: boolean;
};

/** `host`: whose worker restores, the machine of the developer. */
export type RestoreDevInput = RunRequest & {
  host: string;
  mode: DevMode;
  source: string | null;
  into: string | null;
  password: string | null;
  /** `pgr restore-dev --plan`: ends after the step check-target. */
  planOnly?: boolean;
};

export type RestoreControllerInput = RunRequest & {
  /** `pgr restore-controller --plan`: ends after the step check-controller. */
  planOnly?: boolean;
};

/** What the parent pitr run hands down: the child accepts it only from its real parent. */
type ApprovedByParent = { gate: string; code: string; decisions: DecisionOutcome[] };

export type PromoteInput = RunRequest & {
  fromRun: string;
  ref: SandboxRef;
  recovery: RecoveryPlan;
  evidence: EvidenceCheck[];
  approved: ApprovedByParent | null;
};

/** A restored dump becomes production, with a gate of its own: the plan of the restore did not say what a promotion does. */
export type PromoteDumpInput = RunRequest & { fromRun: string; ref: SandboxRef; dump: DumpPlan };

export type UndoInput = RunRequest & { ofRun: string; promotion: PromotionResult };

/** The keeper of a kept sandbox: drops it at `expiresAt`, or at once on signal `discard`. */
export type SandboxKeeperInput = { ref: SandboxRef; expiresAt: string; requestedBy: string };

export type FlipDbInput = RunRequest & {
  /** Null: the best standby. */
  to: string | null;
  failover: boolean;
  mode: FlipMode;
  /** `pgr flip-db --plan`: ends after the step preflight. */
  planOnly?: boolean;
};

/** What a flip-db run with `planOnly` ends with. */
export type PlannedFlip = { outcome: 'planned'; plan: FlipPlan };

export type RebuildStandbyRunInput = RunRequest & {
  node: string;
  method: 'auto' | RebuildMethod;
  rateLimitKbPerSecond: number | null;
  planOnly?: boolean;
};
export type PlannedRebuild = { outcome: 'planned'; plan: RebuildPlan };

/** What an undo of a rebuild needs to know of it: also one that did not end well has made its safety copy. */
export type RebuildToUndo = Pick<RebuildResult, 'run' | 'runId' | 'environment' | 'plan' | 'safetyCopy'>;
export type UndoRebuildInput = RunRequest & { ofRun: string; rebuild: RebuildToUndo };
export type UndoRebuildResult = {
  outcome: 'undone';
  environment: string;
  node: string;
  ofRun: string;
  safetyCopy: SafetyCopy;
  /** Where the data are that stood in its place. */
  setAside: string | null;
  started: boolean;
};

/** Workflow `listSnapshots`: a host that does not answer is named, its copies are not "none". */
export type ListSnapshotsInput = { environment: string };
export type ListSnapshotsResult = {
  copies: SafetyCopy[];
  unanswered: { node: string; host: string; why: string }[];
};

export type PruneSnapshotsInput = RunRequest & { olderThanSeconds: number | null; keep: number | null };
export type PruneSnapshotsResult = {
  outcome: 'pruned' | 'nothing-to-prune';
  environment: string;
  removed: string[];
  kept: { name: string; why: string }[];
  unanswered: ListSnapshotsResult['unanswered'];
};

export type TakeBaseRunInput = RunRequest & { kind: 'full' | 'incremental'; node?: string };

/** Workflows `window` and `check`: one read, then the answer. */
export type WindowRunInput = { environment: string; store?: string };
/** Workflow `topology`; with `probe` false nothing is written through the write address. */
export type TopologyRunInput = { environment: string; probe: boolean };
export type CheckRunInput = { environment: string };
export type CheckRunResult = { checks: EvidenceCheck[] };

/** Workflow `audit`: the command line reads the records through it. */
export type AuditInput =
  | { action: 'list'; environment?: string; sinceIso?: string }
  | { action: 'read'; run: string }
  | { action: 'verify'; run?: string };
export type AuditResult =
  | { action: 'list'; records: RecordSummary[] }
  | { action: 'read'; record: ReadRecordResult }
  | { action: 'verify'; report: VerifyRecordsResult };
