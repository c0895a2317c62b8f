/** Moving production's writes to a standby: planned (the old primary answers) or as a failover (it does not). */
import type { Lsn } from '../lsn.js';
import type { TransactionPoint } from './plan.js';
import type { EvidenceCheck } from './sandbox.js';
import type { Topology } from './topology.js';

/** `stop`: the old primary ends in order and proves by its last record that nothing is missing. `cut`: it is stopped at once after replay = LSN. */
export type FlipMode = 'stop' | 'cut';

export type FlipNode = {
  name: string;
  host: string;
  dataDir: string;
  role: 'primary' | 'standby' | 'down';
  systemIdentifier: string;
  timeline: number;
};

/** Facts that only the host of a node can see. */
export type CheckFlipHostInput = { environment: string; node: string; peer: string };
export type CheckFlipHostResult = { checks: EvidenceCheck[] };

export type PlanFlipInput = {
  environment: string;
  /** Null: the best standby. */
  to: string | null;
  failover: boolean;
  mode: FlipMode;
  topology: Topology;
  /** What `checkFlipHost` of the hosts of both nodes said; that of a dead primary's host is left out. */
  hostChecks: EvidenceCheck[];
};

export type FlipPlan = {
  environment: string;
  from: FlipNode;
  to: FlipNode;
  /** Other standbys; they follow the new primary by themselves or are named in a warning. */
  others: FlipNode[];
  failover: boolean;
  mode: FlipMode;
  lagBytes: number | null;
  expectedOutageMs: number;
  routing: string;
  poolers: string[];
  logicalSlots: { name: string; becomes: 'kept' | 'lost'; why: string }[];
  /** Failover only: what the dead primary may have acknowledged and the candidate does not have. */
  atRisk: {
    lastReceivedLsn: Lsn | null;
    lastKnownPrimaryLsn: Lsn | null;
    bytes: number | null;
    ageSeconds: number | null;
  } | null;
  /** Timelines above that of the candidate whose history files the archive has: while there are any, the promotion asks the archive for a free one. */
  laterTimelines: number[];
  checks: EvidenceCheck[];
  warnings: string[];
  hash: string;
};

export type FlipInput = {
  environment: string;
  run: string;
  runId: string;
  plan: FlipPlan;
  /** Failover: how it is known that the old primary takes no writes (means of fencing that answered, or the statement of a person). Planned: empty. */
  fenceProof: string[];
};

export type FlipPhase = { name: string; atMs: number };
export type FlipResult = {
  outcome: 'flipped' | 'already-flipped';
  timeline: number;
  /** Where the new timeline begins. */
  switchLsn: Lsn;
  /** Last record of the old primary; null in a failover. */
  shutdownLsn: Lsn | null;
  /** From the moment in which writes began to wait until they could go on. */
  writeOutageMs: number;
  phases: FlipPhase[];
  /** Sessions that were ended because a pooler could not pause in time, and the like. */
  notes: string[];
  /** Commits that the old primary has and the new one does not; null where its WAL cannot be read (failover). Empty by proof in mode `stop`. */
  lost: LostTail | null;
};

/** Every means of keeping a node from taking writes; `why` says what each one answered. */
export type FenceOldPrimaryInput = { environment: string; node: string; run: string; runId: string };
export type FenceOldPrimaryResult = { outcome: 'fenced' | 'not-proven'; proof: string[]; failed: string[] };

/** Undo of the fence on the host of the old primary; nothing is started. */
export type ReleaseOldPrimaryResult =
  { outcome: 'released' | 'not-fenced' } | { outcome: 'fenced-by-another'; run: string };

export type BackfillArchiveInput = {
  environment: string;
  node: string;
  run: string;
  runId: string;
  fromTimeline: number;
  switchLsn: Lsn;
};
export type BackfillArchiveResult = {
  present: number;
  pushed: string[];
  firstOnNewTimeline: string;
  checks: EvidenceCheck[];
};

export type RejoinInput = {
  environment: string;
  node: string;
  run: string;
  runId: string;
  to: string;
  expect: FlipNode;
  timeline: number;
};
export type RejoinResult =
  | {
      outcome: 'rejoined' | 'already-streaming';
      method: 'restart' | 'rewind';
      timeline: number;
      seconds: number;
      lost: LostTail;
    }
  | { outcome: 'needs-rebuild'; why: string; lost: LostTail };
/** Commits of the old primary that the new one does not have. */
export type LostTail = { commits: TransactionPoint[]; exact: boolean };

/** What `flip-db` ends with. */
export type FlipRunResult = {
  outcome: 'flipped';
  run: string;
  runId: string;
  environment: string;
  plan: FlipPlan;
  flip: FlipResult;
  rejoin: RejoinResult | null;
  measured: { writeOutageMs: number; rtoSeconds: number };
};
