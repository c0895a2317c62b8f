import type { Lsn } from '../lsn.js';
import type { DumpPlan } from './dump.js';
import type { RecoveryPlan, TransactionPoint } from './plan.js';
import type { EvidenceCheck, SandboxRef } from './sandbox.js';

/**
 * What an activity must find before it may stop, rename or replace a node's data (invariant 2). `systemIdentifier` is the cluster that stood there when the
 * run began. `replacement` is the one that takes its place where that is another cluster (a restored dump); left out, it is the same. Kept data are always
 * held against the first, data that are swapped in, out or cloned always against the second.
 */
export type NodeIdentity = { systemIdentifier: string; replacement?: string; dataDir: string; host: string };

/** One node under one run: `runId` names the kept data, so every attempt means the same directory. */
export type NodeStepInput = { environment: string; node: string; run: string; runId: string; expect: NodeIdentity };

export type PlanPromotionInput = {
  environment: string;
  run: string;
  runId: string;
  ref: SandboxRef;
  plan: RecoveryPlan;
};

export type PlannedNode = {
  name: string;
  host: string;
  dataDir: string;
  keptDataDir: string;
  state: 'running' | 'down';
  /** `unknown` when the server is down and nothing proves what it was. */
  role: 'primary' | 'standby' | 'unknown';
  systemIdentifier: string;
  /** The cluster that takes its place, where it is another one; see {@link NodeIdentity}. */
  replacement?: string;
  timeline: number;
};

export type PromotionPlan = {
  environment: string;
  ref: SandboxRef;
  primary: PlannedNode;
  standbys: PlannedNode[];
  sandboxDataDir: string;
  /** What is given up: commits after the boundary that production accepted until now, as far as the archive shows. */
  lostUntil: string | null;
  lostSeconds: number;
  apps: string[];
  backups: string;
  warnings: string[];
  hash: string;
};

/** A restored dump becomes production. */
export type PlanDumpPromotionInput = Omit<PlanPromotionInput, 'plan'> & { plan: DumpPlan };

/** Nothing of the old history goes on: another system identifier, timeline 1, an archive of its own. */
export type DumpPromotionPlan = Omit<PromotionPlan, 'lostSeconds'> & {
  /** Null when nobody can say how long production went on after the dump. */
  lostSeconds: number | null;
  /** The old cluster; null when nothing is left that says. */
  oldSystemIdentifier: string | null;
  newSystemIdentifier: string;
  /** Where the configuration comes from: that of the old cluster, or what stands in the sandbox. */
  settingsFrom: string;
  /** What the archive holds now, which may be nothing but the new cluster. */
  archive: string;
};

export type SwapInDumpInput = NodeStepInput & { ref: SandboxRef; plan: DumpPlan };

export type AppStepInput = { environment: string; app: string };
export type AppStepResult = { outcome: 'stopped' | 'started' | 'already-stopped' | 'already-started'; status: string };

export type CaptureTailResult =
  | { outcome: 'captured'; lastLsn: Lsn; lastSegment: string; lastCommit: TransactionPoint | null; seconds: number }
  | { outcome: 'primary-down'; lastSegment: string | null; note: string };

export type PauseBackupsResult = { provider: string; outcome: 'paused' | 'resumed' | 'nothing-to-do'; note: string };

export type FenceNodeResult = { outcome: 'stopped' | 'already-stopped'; proof: string[] };
export type StartNodeResult = {
  outcome: 'started' | 'already-running';
  role: 'primary' | 'standby';
  timeline: number;
  pid: number;
};

export type KeepOldDataResult = {
  outcome: 'kept' | 'already-kept';
  keptDataDir: string;
  systemIdentifier: string;
  clusterState: string;
};
export type ReturnOldDataResult = { outcome: 'returned' | 'already-there'; dataDir: string };

export type SwapInInput = NodeStepInput & { ref: SandboxRef };
export type SwapInResult = {
  outcome: 'swapped' | 'already-swapped';
  dataDir: string;
  settingsFrom: string;
  stripped: string[];
};
/** Moves the promoted data out of the way again; they are set aside, not deleted. */
export type SwapOutResult = {
  outcome: 'swapped-out' | 'nothing-there';
  setAsideDir: string | null;
  /** Timeline of the data that were set aside, read from their control file. */
  timeline?: number | null;
};

export type EndRecoveryInput = NodeStepInput & { ref: SandboxRef; plan: RecoveryPlan };
export type EndRecoveryResult = {
  outcome: 'promoted' | 'already-promoted';
  timeline: number;
  switchLsn: Lsn;
  historyArchived: boolean;
};

export type VerifyWritesInput = { environment: string; expectNode: string; expectTimeline: number };
export type VerifyWritesResult = { node: string; timeline: number; milliseconds: number; checks: EvidenceCheck[] };

export type RebaselineResult = {
  baseId: string;
  timeline: number;
  stopLsn: Lsn;
  bytes: number;
  archivedSegment: string;
  seconds: number;
};

export type RebuildStandbyInput = NodeStepInput & { from: string };
export type RebuildStandbyResult = {
  outcome: 'rebuilt' | 'already-streaming';
  keptDataDir: string | null;
  timeline: number;
  lagBytes: number;
  seconds: number;
};

export type FinishPromotionInput = { ref: SandboxRef };

/** What `promote` ends with; `undo` starts from it. */
export type PromotionResult = {
  outcome: 'promoted' | 'undone';
  /** The promote run; its run id names the kept data (`keptDataDirFor`), so an undo uses it and not its own. */
  run: string;
  runId: string;
  environment: string;
  plan: PromotionPlan | DumpPromotionPlan;
  /** Null when a dump was promoted. */
  recovery: RecoveryPlan | null;
  dump?: DumpPlan;
  timeline: number;
  rebuilt: string[];
  /** Standbys of the old cluster that were not rebuilt: they cannot follow. Only where the new cluster is another one. */
  leftBehind?: string[];
  measured: { writeOutageMs: number; rtoSeconds: number; rpoSeconds: number };
  lost: { until: string | null; seconds: number; commits: number; exact: boolean };
};

export type PlanUndoInput = { environment: string; ofRun: string; promotion: PromotionResult; runId: string };
export type UndoPlan = {
  environment: string;
  ofRun: string;
  primary: PlannedNode;
  standbys: PlannedNode[];
  /** Last commit of the promoted history: everything after the promotion is set aside with it. */
  lostSince: string | null;
  warnings: string[];
  hash: string;
};
export type AbandonTimelineInput = { environment: string; timeline: number; run: string };
