/** What the server says about itself, and what speaks against taking a base of it. */
import pg from 'pg';

import type { MinimumSettings } from '../../shared/contracts/plan.js';
import type { TakeBaseOptions } from '../lib/backup-store.js';
import { stepFailure } from '../lib/failure.js';
import type { ArchiverState } from './take-base-archive-watch.js';
import { ARCHIVER_SQL, SERVER_CLOCK_SQL, SERVER_FACTS_SQL } from './take-base-commands.js';

export type ServerFacts = MinimumSettings & {
  systemIdentifier: string;
  postgresMajor: number;
  postgresVersion: string;
  walSegmentBytes: number;
  isStandby: boolean;
  timeline: number;
  summarizesWal: boolean;
  databaseBytes: number;
  /** Names of tablespaces beyond the two built-in ones, comma-separated; empty for none. */
  tablespaces: string;
};

const CONNECT_TIMEOUT_MS = 10_000;

/** Facts and clock of the server. Throws DatabaseUnavailable, or CredentialsRefused when it refuses the login. */
export async function readServer(connection: TakeBaseOptions['connection']): Promise<ServerFacts & { now: string }> {
  const [facts, clock] = await queryRows(connection, [SERVER_FACTS_SQL, SERVER_CLOCK_SQL]);
  return { ...(facts as ServerFacts), now: (clock as { now: string }).now };
}

/** The clock of the server. */
export async function readServerClock(connection: TakeBaseOptions['connection']): Promise<string> {
  const [clock] = await queryRows(connection, [SERVER_CLOCK_SQL]);
  return (clock as { now: string }).now;
}

/** How archiving goes. */
export async function readArchiver(connection: TakeBaseOptions['connection']): Promise<ArchiverState> {
  const [row] = await queryRows(connection, [ARCHIVER_SQL]);
  return row as ArchiverState;
}

async function queryRows(connection: TakeBaseOptions['connection'], statements: string[]): Promise<unknown[]> {
  const { host, port, user, password } = connection;
  const where = `${host}:${String(port)}`;
  const client = new pg.Client({
    host,
    port,
    user,
    database: 'postgres',
    ...(password === null ? {} : { password }),
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    application_name: 'pgr take-base',
  });
  client.on('error', () => undefined);
  try {
    await client.connect();
    const rows: unknown[] = [];
    for (const statement of statements) rows.push((await client.query(statement)).rows[0]);
    return rows;
  } catch (error) {
    // Class 28: invalid authorization specification.
    const state = error instanceof Error && 'code' in error ? String(error.code) : '';
    const why = error instanceof Error ? error.message : String(error);
    if (state.startsWith('28')) throw stepFailure('CredentialsRefused', `${where} refuses user ${user}: ${why}`);
    throw stepFailure('DatabaseUnavailable', `cannot read facts from ${where}: ${why}`, { cause: error });
  } finally {
    await client.end().catch(() => undefined);
  }
}

/** Refusals that must come before anything is read. `programsMajor` is the major version of the backup programs. */
export function refuseServer(facts: ServerFacts, kind: TakeBaseOptions['kind'], programsMajor: number): void {
  if (facts.tablespaces !== '') {
    throw stepFailure('PreconditionFailed', `the server has tablespaces of its own: ${facts.tablespaces}`, {
      hint: 'bases with tablespaces are not supported by the s3 store; use another backup store for this server',
    });
  }
  if (facts.postgresMajor !== programsMajor) {
    throw stepFailure(
      'MajorMismatch',
      `the server is PostgreSQL ${String(facts.postgresMajor)}, the programs are of ${String(programsMajor)}`,
    );
  }
  if (kind === 'incremental' && facts.postgresMajor < 17) {
    throw stepFailure('PreconditionFailed', `PostgreSQL ${String(facts.postgresMajor)} has no incremental bases`, {
      hint: 'take a full base',
    });
  }
  if (kind === 'incremental' && !facts.summarizesWal) {
    throw stepFailure(
      'PreconditionFailed',
      'summarize_wal is off on the server, so it cannot make an incremental base',
      {
        hint: 'set summarize_wal = on and reload, or take a full base',
      },
    );
  }
}
