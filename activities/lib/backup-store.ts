/** What every kind of backup store offers (architecture section 10). */
import type { WindowResult, RecoveryPlan, TransactionPoint } from '../../shared/contracts/plan.js';
import type { Lsn } from '../../shared/lsn.js';
import type { TargetSpec } from '../../shared/target-time.js';

/** Result of looking for one WAL file: three answers, never two (invariant 7; "unknown" is thrown as StoreUnavailable). */
export type WalPresence = 'found' | 'missing';

export type ResolveTargetInput = {
  environment: string;
  target: TargetSpec;
  /** Scratch directory for segments that are read; removed by the caller. */
  scratchDir: string;
  binDir: string;
  /** What the live primary says, null when it does not answer. */
  live: { systemIdentifier: string; timeline: number; currentLsn: Lsn } | null;
  requestedAt: string;
};

/** The part of a plan that the store can tell; space is added by the caller, who also raises the settings to the live primary's. */
export type ResolvedTarget = Pick<
  RecoveryPlan,
  | 'timeline'
  | 'stop'
  | 'boundary'
  | 'lost'
  | 'baseChain'
  | 'fetch'
  | 'replayBytes'
  | 'systemIdentifier'
  | 'postgresMajor'
  | 'walSegmentBytes'
  | 'minimumSettings'
  | 'warnings'
  | 'boundaryAfterFetch'
>;

/** Arguments for the mover job that brings base and WAL into a sandbox. */
export type FetchSpec = {
  environment: string;
  /** Name of the store; that of production when left out. */
  store?: string;
  baseIds: string[];
  /** One directory per base, in the order of `baseIds`. */
  baseDirs: string[];
  wal: { timeline: number; firstSegment: string; lastSegment: string; walSegmentBytes: number; dir: string };
  owner: { uid: number; gid: number } | null;
  /** For stores whose WAL is read while it is fetched: what the fetch is for, and where pg_waldump is. */
  plan?: RecoveryPlan;
  /** Server programs on this machine, for stores whose bases are checked with them. */
  binDir?: string;
};

/** What such a fetch adds to its result. */
export type FetchedBoundary = { resolved: ResolvedTarget };

/** What the fetch of a base notes about its finished parts lies beside the base's directory. */
export function fetchStateFileOf(baseDir: string): string {
  return `${baseDir}.fetched`;
}

export type TakeBaseOptions = {
  id: string;
  kind: 'full' | 'incremental';
  binDir: string;
  connection: { host: string; port: number; user: string; password: string | null };
};

export interface BackupStore {
  readonly kind: string;
  /** False: it is only read, and cannot be the archive of a new primary. */
  readonly takesBases: boolean;
  /**
   * Beginning of the application_name of the store's own WAL receiver, where it has one: then servers need no archive_command. Left out by stores into
   * which servers archive.
   */
  readonly walReceiver?: string;
  /** What is proven of a base when it has been fetched, in words for the evidence. */
  readonly baseProof: string;
  window(input: {
    environment: string;
    scratchDir: string;
    binDir: string;
    live: ResolveTargetInput['live'];
  }): Promise<WindowResult>;
  resolveTarget(input: ResolveTargetInput): Promise<ResolvedTarget>;
  /** Program arguments (after `node`) of the job that materialises a plan; the job writes progress and `result.json` (RestoreBaseResult). */
  fetchCommand(specPath: string): string[];
  /** Program arguments of the job that takes a base and stores it; `result.json` is TakeBaseResult. */
  takeBaseCommand(specPath: string): string[];
  walPresence(name: string): Promise<WalPresence>;
  /** Last committed transaction in the archive on `timeline`, null when there is none. */
  lastCommit(input: {
    timeline: number;
    scratchDir: string;
    binDir: string;
    walSegmentBytes: number;
  }): Promise<TransactionPoint | null>;
  /**
   * System identifiers of the clusters whose bases and WAL lie where production archives to; empty when nothing does. Left out by stores that cannot tell.
   */
  systems?(): Promise<string[]>;
  /** True when the store streams WAL besides what servers push: then it reaches the store also where a server has no archive_command. */
  streamsWal?(): Promise<boolean>;
  pause(run: string): Promise<{ outcome: 'paused' | 'nothing-to-do'; note: string }>;
  resume(run: string): Promise<{ outcome: 'resumed' | 'nothing-to-do'; note: string }>;
  /** Marks a timeline as not production's history any more; nothing is deleted. */
  abandonTimeline(timeline: number, run: string): Promise<'marked' | 'already-marked'>;
  check(): Promise<{ check: string; expected: string; actual: string; ok: boolean }[]>;
}
