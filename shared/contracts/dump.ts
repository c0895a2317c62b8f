/** Restoring a logical dump into a new cluster: the last resort, when no physical backup can be used. */
import type { EvidenceCheck, SandboxRef, TableCount } from './sandbox.js';

/** Where the dump comes from: a file (or directory) on the host of the sandbox, or a server that is dumped now. */
export type DumpSource =
  | { kind: 'file'; path: string }
  /** libpq URL without a password; the password is a secret reference. */
  | { kind: 'server'; url: string; password: string | null };

export type DumpFormat = 'custom' | 'directory' | 'tar' | 'plain';
export type DumpCompression = 'none' | 'gzip' | 'zstd' | 'lz4';

/** Encoding and locale of the new cluster. `locale` is the name for ICU or the builtin provider, null for libc. */
export type ClusterLocale = {
  encoding: string;
  provider: 'libc' | 'icu' | 'builtin';
  collate: string;
  ctype: string;
  locale: string | null;
};

export type PlanDumpInput = {
  environment: string;
  host: string;
  source: DumpSource;
  /** Output of `pg_dumpall --globals-only`, on the same host: roles with their passwords and memberships. */
  globals: string | null;
  /** Null: as many as the machine has processors, at most 4. */
  jobs: number | null;
  /** Overrides what production or the dump says. */
  locale: Partial<ClusterLocale> | null;
  /** Do not read the data of an archive before: damage in it then shows while it is restored. */
  quick: boolean;
  requestedAt: string;
};

/** What the dump says of itself. */
export type DumpFacts = {
  format: DumpFormat;
  compression: DumpCompression;
  /** One script for a whole cluster (pg_dumpall), or for a database that it creates itself (pg_dump --create): psql goes from database to database in it. */
  changesDatabase: boolean;
  bytes: number;
  /** Bytes of SQL that were read; null when nobody read the data. */
  rawBytes: number | null;
  modifiedAt: string | null;
  takenAt: string;
  /** `archive`: written by pg_dump when it began, without a zone, read as UTC. `file`: when the file was last written. `now`: it is taken by this run. */
  takenAtFrom: 'archive' | 'file' | 'now';
  serverVersion: string | null;
  toolVersion: string | null;
  database: string | null;
  tables: number;
  rows: number | null;
};

export type DumpPlan = {
  environment: string;
  host: string;
  source: DumpSource;
  globals: string | null;
  jobs: number;
  dump: DumpFacts;
  /** Database into which it goes. */
  database: string;
  /** `left-out`: everything belongs to the superuser and no grant is restored (--no-owner --no-privileges). */
  ownership: 'kept' | 'left-out';
  /** Roles that the dump names and nobody brings: made without login. */
  placeholderRoles: string[];
  extensions: string[];
  /** Statements of the dump about its database, which a restore into another one leaves out; `{database}` stands for its name. */
  databaseSettings: string[];
  /** Rows of the largest tables, as the dump has them; null when the data were not read. */
  tableRows: { table: string; rows: number }[] | null;
  notValidConstraints: number;
  cluster: {
    postgresMajor: number;
    locale: ClusterLocale;
    /** Where encoding and locale are from, for people. */
    localeFrom: string;
    walSegmentBytes: number;
    preloadLibraries: string[];
  };
  /** Size of the restored database, as far as it can be told before. */
  estimateBytes: number;
  /** Everything committed after `since` is not in the dump. `until` is null when nobody can say how long production went on. */
  lost: { since: string; until: string | null; untilFrom: string; seconds: number | null };
  /** The cluster that it would replace; null when nothing says. */
  replaces: string | null;
  space: { path: string; needBytes: number; availableBytes: number };
  warnings: string[];
  hash: string;
};

export type DumpStepInput = { ref: SandboxRef; plan: DumpPlan };

export type PrepareDumpSandboxResult = {
  dir: string;
  dataDir: string;
  port: number;
  url: string;
  systemIdentifier: string;
};

/** One statement that the restore could not carry out; never with rows in it. */
export type RestoreError = { message: string; harmless: boolean };

export type RestoreDumpResult = {
  outcome: 'restored' | 'already-restored';
  bytes: number;
  seconds: number;
  analyzeSeconds: number;
  /** The first ones; `errorCount` counts all of them. */
  errors: RestoreError[];
  errorCount: number;
  harmlessCount: number;
  takenAt: string;
  attempt: number;
};

export type VerifyDumpResult = { ok: boolean; checks: EvidenceCheck[]; counts: TableCount[]; seconds: number };

export type HandOverResult = {
  outcome: 'handed-over' | 'already-handed-over';
  dataDir: string;
  systemIdentifier: string;
  clusterState: string;
  /** What a person does next, in this order. */
  commands: string[];
};

/** What the run `restore-dump` ends with. */
export type DumpResult = {
  outcome: 'kept' | 'handed-over' | 'promoted';
  ref: SandboxRef;
  plan: DumpPlan;
  sandbox: { dir: string; dataDir: string; port: number; url: string; expiresAt: string };
  evidence: EvidenceCheck[];
  counts: TableCount[];
  measured: { restoreSeconds: number; rtoSeconds: number; rpoSeconds: number };
  commands: string[];
  /** The run that made it production. */
  promotion?: { run: string; runId: string };
};

export type PlannedDump = { outcome: 'planned'; plan: DumpPlan };
