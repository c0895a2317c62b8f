/** What pg_control says, read with PostgreSQL's own pg_controldata: identity and state of a cluster whether its server runs or not. */
import { readFile } from 'node:fs/promises';
import path from 'node:path';

import type { MinimumSettings } from '../../shared/contracts/plan.js';
import { parseLsn, type Lsn } from '../../shared/lsn.js';
import { describeFailure, runProgram } from '../lib/exec.js';
import { stepFailure } from '../lib/failure.js';
import { controlDataArgs } from './commands.js';
import { codeOf, pathExists } from './data-directory.js';

/** States as `pg_controldata` prints them (src/include/catalog/pg_control.h, enum DBState). */
export const CLEAN_STATES: readonly string[] = ['shut down', 'shut down in recovery'];

export type ControlData = {
  /** A 64-bit number: a string, because it does not fit into a JavaScript number. */
  systemIdentifier: string;
  postgresMajor: number;
  /** `in production`, `shut down`, `in archive recovery`, `shut down in recovery`, … */
  state: string;
  /** Timeline of the latest checkpoint. */
  timeline: number;
  checkpointLsn: Lsn;
  redoLsn: Lsn;
  redoSegment: string;
  /** Time of the latest checkpoint as printed (C locale, UTC). */
  checkpointTime: string;
  /** 0/0 unless the cluster is in archive recovery. */
  minRecoveryEndLsn: Lsn;
  minRecoveryEndTimeline: number;
  nextXid: string;
  settings: MinimumSettings;
  walLevel: string;
  walSegmentBytes: number;
  checksums: boolean;
  walLogHints: boolean;
};

/**
 * Facts of the cluster in `dataDir`; null when there is no cluster (no global/pg_control). Anything else that keeps it from being
 * read throws: MajorMismatch when the programs are of another major version, CommandFailed for the rest.
 */
export async function readControlData(binDir: string, dataDir: string): Promise<ControlData | null> {
  if (!(await pathExists(path.join(dataDir, 'global', 'pg_control')))) return null;
  const postgresMajor = await readMajor(dataDir);
  const result = await runProgram(path.join(binDir, 'pg_controldata'), controlDataArgs(dataDir));
  if (result.exitCode !== 0) throw stepFailure('CommandFailed', describeFailure(result));
  if (/WARNING/.test(result.stdout + result.stderr)) {
    throw stepFailure(
      'MajorMismatch',
      `pg_controldata of ${binDir} cannot make sense of ${dataDir} (a cluster of PostgreSQL ${String(postgresMajor)})`,
      { hint: 'set binDir to programs of that major version; with the right ones, pg_control is damaged' },
    );
  }
  return { ...parseControlData(result.stdout), postgresMajor };
}

/** As {@link readControlData}, for callers to whom a missing cluster is a failure (PreconditionFailed). */
export async function requireControlData(binDir: string, dataDir: string): Promise<ControlData> {
  const facts = await readControlData(binDir, dataDir);
  if (facts !== null) return facts;
  throw stepFailure('PreconditionFailed', `there is no cluster in ${dataDir} (no global/pg_control)`);
}

async function readMajor(dataDir: string): Promise<number> {
  const text = await readFile(path.join(dataDir, 'PG_VERSION'), 'utf8').catch((error: unknown) => {
    throw stepFailure('PreconditionFailed', `cannot read ${dataDir}/PG_VERSION: ${codeOf(error)}`);
  });
  return Number.parseInt(text, 10);
}

/** Parses the output of pg_controldata (C locale). Throws CommandFailed naming the first line that is not there. */
export function parseControlData(output: string): Omit<ControlData, 'postgresMajor'> {
  const lines = new Map<string, string>();
  for (const line of output.split('\n')) {
    const colon = line.indexOf(':');
    if (colon > 0) lines.set(line.slice(0, colon).trim(), line.slice(colon + 1).trim());
  }
  const text = (label: string): string => {
    const value = lines.get(label);
    if (value === undefined) throw stepFailure('CommandFailed', `pg_controldata printed no "${label}"`);
    return value;
  };
  const lsn = (label: string): Lsn => {
    const value = parseLsn(text(label));
    if (value === null) throw stepFailure('CommandFailed', `pg_controldata printed "${text(label)}" as "${label}"`);
    return value;
  };
  return {
    systemIdentifier: text('Database system identifier'),
    state: text('Database cluster state'),
    timeline: Number(text("Latest checkpoint's TimeLineID")),
    checkpointLsn: lsn('Latest checkpoint location'),
    redoLsn: lsn("Latest checkpoint's REDO location"),
    redoSegment: text("Latest checkpoint's REDO WAL file"),
    checkpointTime: text('Time of latest checkpoint'),
    minRecoveryEndLsn: lsn('Minimum recovery ending location'),
    minRecoveryEndTimeline: Number(text("Min recovery ending loc's timeline")),
    nextXid: text("Latest checkpoint's NextXID"),
    settings: {
      maxConnections: Number(text('max_connections setting')),
      maxWorkerProcesses: Number(text('max_worker_processes setting')),
      maxWalSenders: Number(text('max_wal_senders setting')),
      maxPreparedTransactions: Number(text('max_prepared_xacts setting')),
      maxLocksPerTransaction: Number(text('max_locks_per_xact setting')),
    },
    walLevel: text('wal_level setting'),
    walSegmentBytes: Number(text('Bytes per WAL segment')),
    checksums: text('Data page checksum version') !== '0',
    walLogHints: text('wal_log_hints setting') === 'on',
  };
}
