/** What every phase of a restore gets, and how it runs statements of the archive. */
import type pg from 'pg';

import type { DevDumpFile, DevPhase, DevPhaseResult, DevPlan } from '../../../shared/contracts/dev.js';
import { stepFailure } from '../../lib/failure.js';
import type { JobProgress } from '../../lib/job-runner.js';
import { databaseNames, type DatabaseNames } from './names.js';
import { inServer, maintenanceMemory, type Server } from './session.js';

export type PhaseSpec = {
  plan: DevPlan;
  phase: DevPhase;
  file: DevDumpFile;
  server: Omit<Server, 'password'>;
  binDir: string | null;
  journal: string;
};

export type Phase = {
  spec: PhaseSpec;
  plan: DevPlan;
  file: DevDumpFile;
  server: Server;
  names: DatabaseNames;
  /** Session in database `postgres` that holds the lock of this restore. */
  maintenance: pg.Client;
  progress: (progress: JobProgress) => void;
};

export type Outcome = Partial<Omit<DevPhaseResult, 'seconds'>>;

/** The phase of a spec, with the session that holds its lock. */
export function phaseOf(spec: PhaseSpec, server: Server, maintenance: pg.Client, progress: Phase['progress']): Phase {
  return {
    spec,
    plan: spec.plan,
    file: spec.file,
    server,
    names: databaseNames(spec.plan.target.database),
    maintenance,
    progress,
  };
}

/** Opens `count` sessions with a database at once. */
export async function inSessions<T>(
  { server, plan }: Pick<Phase, 'server' | 'plan'>,
  database: string,
  count: number,
  work: (clients: pg.Client[]) => Promise<T>,
): Promise<T> {
  const memory = maintenanceMemory(plan.jobs);
  const settings = { maintenance_work_mem: memory };
  const open = (clients: pg.Client[]): Promise<T> =>
    clients.length === count
      ? work(clients)
      : inServer(server, database, (client) => open([...clients, client]), settings);
  return open([]);
}

/** All of `work`, or nothing. */
export async function inTransaction<T>(client: pg.Client, work: () => Promise<T>): Promise<T> {
  await client.query('begin');
  try {
    const result = await work();
    await client.query('commit');
    return result;
  } catch (error) {
    await client.query('rollback').catch(() => undefined);
    throw error;
  }
}

/** SQLSTATE of an error of the server, empty for any other. */
export function stateOf(error: unknown): string {
  const { code } = (error ?? {}) as { code?: unknown };
  return typeof code === 'string' ? code : '';
}

/** True when the statement itself is refused; false for trouble of the server or the connection, after which nothing can be said about it. */
export function isRefused(error: unknown): boolean {
  const state = stateOf(error);
  return /^[0-9A-Z]{5}$/.test(state) && !/^(08|53|57|58|XX)/.test(state);
}

/** What the server said, without values of rows. */
export function saidOf(error: unknown): string {
  const state = stateOf(error);
  // Class 22 quotes the value that it cannot read.
  if (state.startsWith('22')) return `the server refused a value (${state})`;
  return error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error);
}

const UNDEFINED_OBJECT = '42704';
const DUPLICATE_OBJECT = '42710';
const DEADLOCK = '40P01';
const DEADLOCK_TRIES = 5;

/**
 * Runs `work` in a transaction of its own. A role that a policy names and nobody has made is made, without login; a deadlock is tried again.
 */
export async function runStatement(client: pg.Client, work: () => Promise<void>): Promise<void> {
  const made = new Set<string>();
  for (let tries = 1; ; tries += 1) {
    try {
      await inTransaction(client, work);
      return;
    } catch (error) {
      const role = missingRole(error);
      if (role !== null && !made.has(role)) {
        made.add(role);
        await makeRole(client, role);
      } else if (stateOf(error) !== DEADLOCK || tries >= DEADLOCK_TRIES) throw error;
    }
  }
}

function missingRole(error: unknown): string | null {
  if (stateOf(error) !== UNDEFINED_OBJECT) return null;
  return /^role "(.+)" does not exist$/.exec(error instanceof Error ? error.message : '')?.[1] ?? null;
}

async function makeRole(client: pg.Client, role: string): Promise<void> {
  await client.query(`create role ${client.escapeIdentifier(role)} nologin`).catch((error: unknown) => {
    if (stateOf(error) !== DUPLICATE_OBJECT) throw error;
  });
}

/** The failure of a statement that the restore cannot go on without. */
export function statementFailure(what: string, error: unknown): unknown {
  if (!isRefused(error)) return error;
  return stepFailure('CommandFailed', `${what}: ${saidOf(error)}`, {
    hint: 'the database in use was not touched; mend what the message names, then `pgr retry`',
  });
}
