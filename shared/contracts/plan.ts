import type { Lsn } from '../lsn.js';
import type { TargetSpec } from '../target-time.js';

/**
 * One committed transaction: the LSN is where its COMMIT record starts, the time is the commit time in UTC. `endLsn` is the first
 * byte after the record: what `pg_last_wal_replay_lsn()` says when it is the last one replayed.
 */
export type TransactionPoint = { xid: string; lsn: Lsn; time: string; endLsn?: Lsn };

/** Last transaction kept and first one dropped; null where the WAL holds none on that side. */
export type Boundary = { kept: TransactionPoint | null; dropped: TransactionPoint | null };

/**
 * Where the server is told to stop. `lsn` is what `recovery_target_lsn` gets (PostgreSQL docs, "Recovery Target"); inclusive
 * stops after the record that starts at or after it, exclusive before it.
 */
export type StopPoint = { kind: 'lsn'; lsn: Lsn; inclusive: boolean } | { kind: 'immediate' };

export type BaseRef = {
  id: string;
  kind: 'full' | 'incremental';
  startedAt: string;
  endedAt: string;
  startLsn: Lsn;
  stopLsn: Lsn;
  timeline: number;
  parentId: string | null;
  /** Compressed size in the store and size on disk once restored. */
  bytes: number;
  rawBytes: number;
};

/** A standby refuses to read WAL of a primary with larger values (PostgreSQL docs, "Administrator's Overview" of hot standby). */
export type MinimumSettings = {
  maxConnections: number;
  maxWorkerProcesses: number;
  maxWalSenders: number;
  maxPreparedTransactions: number;
  maxLocksPerTransaction: number;
};

/**
 * What one backup store can do for a target. `seconds` is the estimate of restore and replay, `kept` the last transaction that it keeps, `lost` what a promotion
 * would give up as far as its archive shows it. `why` says why it cannot serve.
 */
export type StoreChoice = { store: string; kind: string } & (
  | {
      reaches: true;
      seconds: number;
      kept: TransactionPoint | null;
      lost: RecoveryPlan['lost'];
      /** The store shows its WAL only while it is fetched: what it keeps is not known before. */
      keptUnknown?: true;
    }
  | { reaches: false; code: string; why: string }
);

export type RecoveryPlan = {
  environment: string;
  /** Name of the backup store; that of production when left out. */
  store?: string;
  /** All stores that were asked, when there are several. */
  stores?: StoreChoice[];
  target: TargetSpec;
  timeline: number;
  stop: StopPoint;
  boundary: Boundary;
  /** What a promotion to this target gives up of the archived history. `exact` is false when the count stopped at its limit. */
  lost: { commits: number; exact: boolean; seconds: number; until: string | null };
  /** Full base first, then its incrementals in order. */
  baseChain: BaseRef[];
  fetch: { baseBytes: number; walBytes: number; walSegments: number; firstSegment: string; lastSegment: string };
  replayBytes: number;
  space: { path: string; needBytes: number; availableBytes: number };
  estimate: { restoreSeconds: number; replaySeconds: number; totalSeconds: number };
  systemIdentifier: string;
  postgresMajor: number;
  walSegmentBytes: number;
  minimumSettings: MinimumSettings;
  host: string;
  warnings: string[];
  /**
   * Set when the store shows its WAL only while it is fetched: `stop`, `boundary` and `lost` are not known yet then, and `stop` is a position
   * that no recovery can reach. Step restore-base finds them and returns the plan without this mark.
   */
  boundaryAfterFetch?: true;
  /** SHA-256 (hex) of everything above that a decision rests on: not of `space.availableBytes` and `estimate`. */
  hash: string;
};

export type WindowHole = { timeline: number; from: string; to: string; firstMissing: string; lastMissing: string };

export type WindowBase = {
  id: string;
  kind: 'full' | 'incremental';
  startedAt: string;
  endedAt: string;
  startLsn: Lsn;
  stopLsn: Lsn;
  timeline: number;
  bytes: number;
  rawBytes: number;
  parentId: string | null;
  usable: boolean;
  /** Why it is not usable. */
  why: string | null;
};

/** What another store of the environment reaches; `why` when that is not known. */
export type OtherWindow = { store: string; kind: string } & (
  { earliest: string | null; latest: string | null } | { why: string }
);

export type WindowResult = {
  environment: string;
  /** Name and kind of the store; left out where an environment has one only. */
  store?: string;
  kind?: string;
  others?: OtherWindow[];
  systemIdentifier: string | null;
  timeline: number | null;
  /** Null when nothing can be recovered at all. Time of day in UTC. */
  earliest: string | null;
  latest: string | null;
  lastCommit: TransactionPoint | null;
  /** Set when the store shows its WAL only while it is fetched: `latest` is when its newest WAL came then. */
  lastCommitUnknown?: true;
  bases: WindowBase[];
  holes: WindowHole[];
  warnings: string[];
};
