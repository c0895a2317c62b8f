/**
 * One way to talk to a PostgreSQL server. Nothing here waits for ever: a server that is dead, paused by a debugger or behind a
 * silent network ends in DatabaseUnavailable. No message ever holds the password.
 */
import { ApplicationFailure } from '@temporalio/common';
import { Socket } from 'node:net';
import pg from 'pg';

import { stepFailure } from './failure.js';

export type DatabaseAddress = {
  host: string;
  port: number;
  user: string;
  database: string;
  password: string | null;
};

export type ClientOptions = DatabaseAddress & {
  /** From the first packet until the server is ready for queries. */
  connectTimeoutMs?: number;
  /** Limit that the server keeps for each statement; 0 for none. */
  statementTimeoutMs?: number;
  /** Server settings of the session, as `postgres -c`. A pooler such as PgBouncer refuses them: pass `plain` there. */
  settings?: Record<string, string>;
  /** True for an address that may lead through a pooler: nothing but user, database and application_name is sent at the start. */
  plain?: boolean;
  /** True for a replication connection (`IDENTIFY_SYSTEM` and its like; PostgreSQL docs, "Streaming Replication Protocol"). */
  replication?: boolean;
};

/** A healthy server answers the start of a session in milliseconds; five seconds cover a busy one and a slow network. */
const CONNECT_TIMEOUT_MS = 5_000;
const STATEMENT_TIMEOUT_MS = 30_000;
/** The client waits a little longer than the server, so that the server's own error arrives first. */
const CLIENT_GRACE_MS = 2_000;
const GOODBYE_MS = 500;

/** SQLSTATE of a server that is there but cannot serve: starting, stopping, full, killed the session. */
const UNAVAILABLE_STATES = new Set(['57P01', '57P02', '57P03', '53300', '08000', '08003', '08006', '08001', '08004']);
const REFUSED_STATES = new Set(['28P01', '28000']);

/**
 * Opens a session, hands it to `work`, closes it whatever happens.
 * Times are UTC and dates ISO in it. Throws DatabaseUnavailable (also when the connection dies in the middle),
 * CredentialsRefused, PreconditionFailed (the database does not exist); an SQL error of `work` passes as it is (`pg.DatabaseError`).
 */
export async function withClient<T>(options: ClientOptions, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const socket = new Socket();
  const client = new pg.Client(clientConfig(options, socket));
  // Without a listener the end of an idle session would end the process; `work` sees it as the failure of its next query.
  client.on('error', () => undefined);
  try {
    await client.connect();
    return await work(client);
  } catch (cause) {
    throw databaseFailure(cause, options);
  } finally {
    await endQuietly(client, socket);
  }
}

function clientConfig(options: ClientOptions, socket: Socket): pg.ClientConfig {
  const statementTimeoutMs = options.statementTimeoutMs ?? STATEMENT_TIMEOUT_MS;
  const settings = {
    TimeZone: 'UTC',
    DateStyle: 'ISO',
    statement_timeout: String(statementTimeoutMs),
    ...options.settings,
  };
  return {
    host: options.host,
    port: options.port,
    user: options.user,
    database: options.database,
    // A function keeps the driver from reading PGPASSWORD or ~/.pgpass of whoever runs the worker.
    password: () => options.password ?? '',
    application_name: 'pgr',
    connectionTimeoutMillis: options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS,
    ...(statementTimeoutMs > 0 ? { query_timeout: statementTimeoutMs + CLIENT_GRACE_MS } : {}),
    ...(options.plain === true ? {} : { options: settingsOption(settings) }),
    ...(options.replication === true ? { replication: 'true' } : {}),
    stream: () => socket,
  };
}

/** `-c name=value` pairs of the start-up packet; spaces and backslashes in values are escaped (PostgreSQL docs, libpq "options"). */
function settingsOption(settings: Record<string, string>): string {
  return Object.entries(settings)
    .map(([key, value]) => `-c ${key}=${value.replace(/[\\ ]/g, '\\$&')}`)
    .join(' ');
}

/** Says goodbye; a server that does not listen any more (SIGSTOP) is left without waiting for it. */
async function endQuietly(client: pg.Client, socket: Socket): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const patience = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, GOODBYE_MS);
  });
  await Promise.race([client.end().catch(() => undefined), patience]);
  clearTimeout(timer);
  socket.destroy();
}

/** What a failure of the driver means. Failures of our own and SQL errors of the caller pass unchanged. */
function databaseFailure(cause: unknown, address: DatabaseAddress): unknown {
  if (cause instanceof ApplicationFailure) return cause;
  const where = `${address.host}:${String(address.port)} database ${address.database} as ${address.user}`;
  const state = sqlStateOf(cause);
  if (state === null) {
    return isConnectionTrouble(cause) ? connectionFailure(cause, where) : cause;
  }
  if (REFUSED_STATES.has(state)) {
    return stepFailure('CredentialsRefused', `the server at ${where} refused the login (${state})`);
  }
  if (state === '3D000') return stepFailure('PreconditionFailed', `there is no such database at ${where}`);
  return UNAVAILABLE_STATES.has(state) ? connectionFailure(cause, where) : cause;
}

function connectionFailure(cause: unknown, where: string): ApplicationFailure {
  const reason = reasonOf(cause);
  return reason.startsWith('SASL:')
    ? stepFailure('CredentialsRefused', `the server at ${where} wants another password than the config has`)
    : stepFailure('DatabaseUnavailable', `no answer from ${where}: ${reason}`);
}

/** SQLSTATE of an error that the server sent, null for any other error. */
export function sqlStateOf(error: unknown): string | null {
  return error instanceof pg.DatabaseError && typeof error.code === 'string' ? error.code : null;
}

/** The driver's own errors have no code, only these texts (pg 8). */
const DRIVER_ERRORS =
  /^(SASL:|timeout expired|Connection terminated|Query read timeout|Client has encountered|Client was closed)/;

/** True for what the driver raises by itself, which is about the connection; system errors carry a code (ECONNREFUSED …). */
export function isConnectionTrouble(error: unknown): boolean {
  const { code } = (error ?? {}) as { code?: unknown };
  return (typeof code === 'string' && /^(E[A-Z]+|ERR_)/.test(code)) || DRIVER_ERRORS.test(reasonOf(error));
}

/** Text of an error; a connection to a name with several addresses fails with one error for each. */
function reasonOf(error: unknown): string {
  const { message, errors } = (error ?? {}) as { message?: unknown; errors?: unknown };
  if (Array.isArray(errors) && errors.length > 0) return errors.map(reasonOf).join('; ');
  return typeof message === 'string' ? message : 'unknown';
}
