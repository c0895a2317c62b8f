/** Inputs of the workflows: one object each, plain JSON, no secret. */
import type { TargetSpec } from '../target-time.js';
import type { DecisionOutcome } from './decisions.js';
import type { RecoveryPlan } from './plan.js';
import type { PromotionResult } from './promotion.js';
import type { ReadRecordResult, RecordSummary, VerifyRecordsResult } from './record.js';
import type { EvidenceCheck, SandboxRef } from './sandbox.js';

export type RunRequest = { environment: string; requestedBy: string; reason: string; requestedAt: string };

export type PitrInput = RunRequest & {
  target: TargetSpec;
  promote: boolean;
  host?: string;
  ttlSeconds?: number;
  /** `pgr pitr --plan`: ends after the step check-target. */
  planOnly?: boolean;
};

/** What a pitr run with `planOnly` ends with. */
export type PlannedRecovery = { outcome: 'planned'; plan: RecoveryPlan };

/** What the parent pitr run hands down: the child accepts it only from its real parent. */
type ApprovedByParent = { gate: string; code: string; decisions: DecisionOutcome[] };

export type PromoteInput = RunRequest & {
  fromRun: string;
  ref: SandboxRef;
  recovery: RecoveryPlan;
  evidence: EvidenceCheck[];
  approved: ApprovedByParent | null;
};

export type UndoInput = RunRequest & { ofRun: string; promotion: PromotionResult };

/** The keeper of a kept sandbox: drops it at `expiresAt`, or at once on signal `discard`. */
export type SandboxKeeperInput = { ref: SandboxRef; expiresAt: string; requestedBy: string };

export type TakeBaseRunInput = RunRequest & { kind: 'full' | 'incremental'; node?: string };

/** Workflows `window` and `check`: one read, then the answer. */
export type WindowRunInput = { environment: string };
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
