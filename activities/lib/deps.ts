/**
 * What activities get from outside. The interfaces that one area offers to another stand here, because areas do not import
 * each other; `workers/deps.ts` joins them.
 */
import type { Config } from '../../config/schema.js';
import type { BackupStore } from './backup-store.js';
import type { ContainerEngine } from './containers.js';
import type { DumpSource } from './dump-source.js';
import type { JobRunner } from './job-runner.js';
import type { PauseGuard, Pooler, RoutingProvider } from './routing.js';
import type { NodeRuntime } from './runtime.js';
import type { SnapshotProvider } from './snapshot.js';

export type Log = {
  info(fields: Record<string, unknown>, message: string): void;
  warn(fields: Record<string, unknown>, message: string): void;
};

/** How to start another program of this package: `node <distDir>/workers/<program>.js`. */
export type ProgramPaths = { node: string; distDir: string; configPath: string };

export type ActivityDeps = {
  config: Config;
  /** Value of a secret reference; throws `CredentialsRefused` (never with the value in the message). */
  resolveSecret: (reference: string) => Promise<string>;
  jobs: JobRunner;
  /** A backup store of an environment by its name; the one that production archives to when left out. */
  store: (environment: string, store?: string) => Promise<BackupStore>;
  /** A source of dumps for developers, by its name in the config. */
  dumpSource?: (environment: string, source: string) => Promise<DumpSource>;
  /** The server of a node of the config, on this host. */
  runtime: (environment: string, node: string) => NodeRuntime;
  /** The containers of this host: the engine at `dockerHost`, else the one of the worker's environment. */
  containers: (dockerHost: string | undefined) => ContainerEngine;
  /** Who takes the writes of an environment. */
  routing: (environment: string) => RoutingProvider;
  /** The poolers of an environment. */
  poolers: (environment: string) => Pooler[];
  /** Starts the guard of a pause and returns when it is ready; takes the place of one that an earlier attempt left. Throws RoutingUnavailable. */
  pauseGuard: (environment: string) => Promise<PauseGuard>;
  /** Safety copies of a node's data, on this host. */
  snapshot: (environment: string, node: string) => SnapshotProvider;
  program: ProgramPaths;
  log: Log;
};
