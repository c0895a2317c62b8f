/** Inputs of the workflows: one object each, plain JSON, no secret. */
import type { TargetSpec } from '../target-time.js';
import type { DecisionOutcome } from './decisions.js';
import type { RecoveryPlan } from './plan.js';
import type { PromotionResult } from './promotion.js';
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

/** What the parent pitr run hands down: the child accepts it only from its real parent. */
export type ApprovedByParent = { gate: string; code: string; decisions: DecisionOutcome[] };

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
