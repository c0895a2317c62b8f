import type { Lsn } from '../lsn.js';
import type { RecoveryPlan } from './plan.js';

/** Names a sandbox: everything else is on its host, in the directory that carries its marker. */
export type SandboxRef = {
  environment: string;
  /** Workflow id and run id of the pitr run that made it. */
  run: string;
  runId: string;
  /** Directory name, a function of the run id. */
  sandbox: string;
  host: string;
};

export type SandboxState =
  | 'prepared'
  | 'restored'
  | 'replaying'
  | 'paused'
  | 'stopped'
  | 'promoting'
  | 'promoted'
  /** Of a dump: stopped, flushed, and a person's from here on. */
  | 'handed-over'
  | 'discarded'
  | 'tainted'
  | 'unknown';

export type PrepareSandboxInput = { ref: SandboxRef; plan: RecoveryPlan };
export type PrepareSandboxResult = { dir: string; dataDir: string; port: number; url: string };

export type SandboxStepInput = { ref: SandboxRef; plan: RecoveryPlan };

export type RestoreBaseResult = {
  baseBytes: number;
  walBytes: number;
  /** Bytes that this job really asked of the store (a resumed job asks only for the rest). */
  fetchedBytes: number;
  seconds: number;
  files: number;
  chunksVerified: number;
};

/** Result of the step. `plan`: the one that goes on from here, when the boundary was found in the WAL that was fetched (RecoveryPlan.boundaryAfterFetch). */
export type RestoredBase = RestoreBaseResult & { plan?: RecoveryPlan };

export type CombineIncrementalsResult = {
  outcome: 'combined' | 'nothing-to-combine';
  method: 'clone' | 'copy-file-range' | 'link' | 'copy' | 'rename';
  seconds: number;
  /** What proved the result: `pg_verifybackup`, or the checks made while the base was fetched. */
  verifiedBy: string;
};

export type ReplayWalResult = {
  replayLsn: Lsn;
  /** Commit time of the last replayed transaction (pg_last_xact_replay_timestamp), null when none was replayed. */
  replayedTo: string | null;
  /** The line in which the server says where it stopped. */
  logLine: string;
  seconds: number;
  pid: number;
  port: number;
};

export type EvidenceCheck = { check: string; expected: string; actual: string; ok: boolean; note?: string };

export type TableCount = { table: string; sandbox: number; production: number | null };

export type VerifySandboxResult = {
  ok: boolean;
  checks: EvidenceCheck[];
  /** Per table, largest difference first; at most 50 rows (all of them go to the record). */
  counts: TableCount[];
  seconds: number;
};

export type ReadSandboxResult = {
  state: SandboxState;
  dir: string;
  port: number | null;
  url: string | null;
  replayLsn: Lsn | null;
};

export type DiscardSandboxResult = { outcome: 'discarded' | 'already-gone'; freedBytes: number };

/** What the run `pitr` ends with; kept in the record, so `pgr promote --from` works after Temporal forgot the run. */
export type RecoveryResult = {
  outcome: 'kept' | 'promoted' | 'discarded';
  ref: SandboxRef;
  plan: RecoveryPlan;
  sandbox: { dir: string; dataDir: string; port: number; url: string; expiresAt: string };
  evidence: EvidenceCheck[];
  counts: TableCount[];
  measured: { restoreSeconds: number; replaySeconds: number; rtoSeconds: number; rpoSeconds: number };
  promotion: PromotionResultRef | null;
};

type PromotionResultRef = { run: string; runId: string };
