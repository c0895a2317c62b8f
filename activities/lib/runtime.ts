/** How the server of a node is run on its host (architecture section 10): plain processes here; containers and units are other kinds. */
import type { ProgramResult, RunAs } from './exec.js';

export type ServerStatus =
  | { state: 'running'; pid: number; port: number | null; socketDir: string | null; accepting: boolean }
  | { state: 'stopped'; why: string }
  /** Never to be taken for "stopped". */
  | { state: 'unknown'; why: string };

/** One node's server. Every call reads the state first and again afterwards, and may be repeated. */
export interface ServerRuntime {
  readonly kind: string;
  status(): Promise<ServerStatus>;
  /** Ordinary start with the node's own configuration, until sessions are accepted. */
  start(): Promise<{ outcome: 'started' | 'already-running'; pid: number }>;
  /** Fast shutdown (a shutdown checkpoint is written); `proof` says how it is known that nothing runs. Throws FenceFailed. */
  stop(timeoutMs?: number): Promise<{ outcome: 'stopped' | 'already-stopped'; proof: string }>;
}

/** A server that pgr runs for itself on this host: that of a sandbox, or the one that ends a recovery. It outlives the worker. */
export type PrivateServer = {
  dataDir: string;
  /** Its user, and that of its files. */
  owner: RunAs;
  /** Directory of its socket. A function of the data directory and the run, so every attempt finds the same server by it. */
  socketDir: string;
};

export type PrivateServerStart = PrivateServer & {
  /** `sandbox`: it sees its own files and nobody else; `production`: it sees what the node's server sees (configuration, archive). */
  role: 'sandbox' | 'production';
  /** Arguments after `-D <data directory>`. */
  options: readonly string[];
  /** Gets what it writes; appended. */
  logFile: string;
  /** Files and directories of this host, besides those above, that the options name. */
  paths: readonly string[];
  env?: Record<string, string>;
  timeoutMs?: number;
  /** How far to wait: until it takes sessions, or only until the postmaster lives (a recovery that reads WAL first). */
  until: 'accepting' | 'alive';
};

/** What works in a data directory; `isOurs`: it is the private server that was asked for. */
export type PrivateServerState =
  | { state: 'running'; pid: number; port: number | null; isOurs: boolean }
  | { state: 'stopped'; why: string }
  | { state: 'unknown'; why: string };

/**
 * Private servers with the programs, libraries and locales of the node's own server. Two of them never work on one directory. Every call may be
 * repeated, and finds what an attempt that was killed left behind.
 */
export interface PrivateServers {
  read(server: Pick<PrivateServer, 'dataDir' | 'socketDir'>): Promise<PrivateServerState>;
  /** Throws PortTaken, CommandFailed with the last lines it wrote, DatabaseUnavailable when it is not up in time, IdentityMismatch. */
  start(
    request: PrivateServerStart,
  ): Promise<{ outcome: 'started' | 'already-running'; pid: number; port: number | null }>;
  /** Stops whatever works there and removes what ran it. Throws FenceFailed. */
  stop(
    server: Pick<PrivateServer, 'dataDir' | 'socketDir'>,
    how?: { mode?: 'fast' | 'immediate'; timeoutMs?: number },
  ): Promise<{ outcome: 'stopped' | 'already-stopped'; proof: string }>;
  /** Settings of the files in `dataDir` as the node's server would have them there. Throws PreconditionFailed when they do not add up. */
  readSettings<Name extends string>(
    dataDir: string,
    owner: RunAs,
    names: readonly Name[],
  ): Promise<Record<Name, string>>;
  /** Runs a shell command as the node's server does (an archive_command), in its data directory. */
  runShell(request: {
    dataDir: string;
    owner: RunAs;
    command: string;
    env: Record<string, string>;
    timeoutMs: number;
  }): Promise<ProgramResult>;
}

export interface NodeRuntime extends ServerRuntime {
  readonly servers: PrivateServers;
}
