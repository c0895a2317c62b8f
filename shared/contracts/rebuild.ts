/** Rebuilding a standby, and the safety copies that are made before data are touched. */
import type { PlannedNode } from './promotion.js';
import type { EvidenceCheck } from './sandbox.js';

export type RebuildMethod = 'rewind' | 'basebackup';

/** A copy of a node's data from before a change, kept until it is pruned by a person. */
export type SafetyCopy = {
  provider: 'directory' | 'zfs' | 'btrfs';
  /** Directory, snapshot or subvolume; unique on its host. */
  name: string;
  environment: string;
  node: string;
  host: string;
  run: string;
  runId: string;
  createdAt: string;
  systemIdentifier: string;
  timeline: number;
  /** What it takes on disk: a snapshot at first nothing. Null when nobody counted. */
  bytes: number | null;
  /** It was looked at after it was made, and is a cluster of this system. False with 0 bytes: there was nothing to keep. */
  verified: boolean;
};

export type PlanRebuildInput = {
  environment: string;
  node: string;
  run: string;
  runId: string;
  method: 'auto' | RebuildMethod;
  rateLimitKbPerSecond: number | null;
};
export type RebuildPlan = {
  environment: string;
  node: PlannedNode;
  from: PlannedNode;
  method: RebuildMethod;
  /** What is done when the method turns out not to be possible; none when left out. */
  fallback?: 'basebackup';
  /** Why this method, with what pg_rewind --dry-run said. */
  why: string;
  copyBytes: number;
  estimateSeconds: number;
  rateLimitKbPerSecond: number | null;
  safetyCopy: { provider: SafetyCopy['provider']; name: string };
  space: { path: string; needBytes: number; availableBytes: number };
  checks: EvidenceCheck[];
  warnings: string[];
  hash: string;
};

export type RebuildStepInput = { environment: string; run: string; runId: string; plan: RebuildPlan };
export type StopStandbyResult = { outcome: 'stopped' | 'already-stopped'; proof: string[] };
export type TakeSafetyCopyResult = { outcome: 'taken' | 'already-taken'; copy: SafetyCopy; seconds: number };
export type CopyStandbyResult = {
  outcome: 'copied' | 'already-copied';
  method: RebuildMethod;
  bytes: number;
  seconds: number;
};
export type StartStandbyResult = { timeline: number; lagBytes: number; seconds: number; checks: EvidenceCheck[] };
export type ReturnSafetyCopyResult = { outcome: 'returned' | 'already-there'; setAside: string | null };

export type ListSafetyCopiesResult = { copies: SafetyCopy[] };
export type PruneSafetyCopiesInput = { environment: string; host: string; names: string[]; run: string };
export type PruneSafetyCopiesResult = { removed: string[]; kept: { name: string; why: string }[] };

/** What `rebuild-standby` ends with; `undo` starts from it. */
export type RebuildResult = {
  outcome: 'rebuilt';
  run: string;
  runId: string;
  environment: string;
  plan: RebuildPlan;
  safetyCopy: SafetyCopy;
  measured: { rebuildSeconds: number };
};
