/** Refreshing a developer's database from a recent dump. */
import type { DumpCompression, DumpFormat } from './dump.js';

export type DevMode = 'fast' | 'full' | 'deferred';

/** One dump in a source. */
export type DumpObject = { id: string; name: string; bytes: number; createdAt: string };

export type PlanDevInput = {
  environment: string;
  host: string;
  mode: DevMode;
  /** Name of a source in the config; its first one when null. */
  source: string | null;
  /** URL of a server without a password; the target of the config when null. */
  into: string | null;
  /** Secret reference, for `into`. */
  password: string | null;
  requestedAt: string;
};

/** A developer's server, and the database in it. */
export type DevTarget = {
  kind: 'server' | 'process' | 'docker';
  host: string;
  port: number;
  user: string;
  /** Secret reference. */
  password: string | null;
  database: string;
  /** Null for a server that pgr makes and that is not there yet. */
  systemIdentifier: string | null;
};

export type DevPlan = {
  environment: string;
  host: string;
  mode: DevMode;
  source: string;
  sourceKind: 'file' | 's3' | 'databasus';
  dump: DumpObject;
  /** Where the dump is, or will be, on the host. */
  path: string;
  target: DevTarget;
  jobs: number;
  deferred: string[];
  skipMatviews: string[];
  postRestore: { path: string; sha256: string }[];
  postDeferred: { path: string; sha256: string }[];
  defaultPartitions: boolean;
  fastSettings: boolean;
  /** The database that is there now; null for none. */
  replaces: { bytes: number } | null;
  warnings: string[];
  hash: string;
};

export type DevStepInput = { plan: DevPlan; run: string; runId: string };

/** A dump on the host. `whole`: it has no table of contents that tables could be taken from one by one, and is restored in one piece. */
export type DevDumpFile = {
  path: string;
  format: DumpFormat;
  compression: DumpCompression;
  bytes: number;
  whole: boolean;
};

export type FetchDevDumpResult = { outcome: 'fetched' | 'already-there'; file: DevDumpFile; seconds: number };

export type PrepareDevTargetResult = {
  outcome: 'made' | 'started' | 'already-running';
  systemIdentifier: string;
  url: string;
};

export type DevPhase =
  'schema' | 'load' | 'finish' | 'swap' | 'prove' | 'load-deferred' | 'finish-deferred' | 'put-back';
export type DevPhaseInput = DevStepInput & { phase: DevPhase; file: DevDumpFile; systemIdentifier: string };
export type DevPhaseResult = {
  outcome: 'done' | 'already-done';
  seconds: number;
  /** Stored bytes of table data that are loaded now. */
  bytes: number;
  tables: number;
  /** Tables whose rows come with `--deferred`. */
  deferred: string[];
  /** Statements that PostgreSQL refused; the database can be used without them. */
  problems: string[];
  notes: string[];
};

/** What a restore-dev run ends with. */
export type DevResult = {
  outcome: 'usable';
  mode: DevMode;
  plan: DevPlan;
  url: string;
  previous: string | null;
  usableSeconds: number;
  bytes: number;
  tables: number;
  deferred: string[];
  problems: string[];
  notes: string[];
  commands: string[];
};

/** What `pgr restore-dev --plan` ends with. */
export type PlannedDev = { outcome: 'planned'; plan: DevPlan };
