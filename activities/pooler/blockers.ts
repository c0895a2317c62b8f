/**
 * Who keeps a pooler from pausing: server connections in a transaction, with what the primary says of them. PgBouncer knows the server's pid; age and
 * query are read from pg_stat_activity of the node that is primary now.
 */
import type pg from 'pg';

import type { EnvironmentConfig } from '../../config/schema.js';
import type { ActivityDeps } from '../lib/deps.js';
import { withClient } from '../lib/database.js';
import type { PauseBlocker } from '../lib/routing.js';
import type { HeldServer, PooledDatabase } from './pgbouncer-state.js';

/** `backendStart` names the session together with its pid, which may be reused; null when no server told. */
export type FoundBlocker = PauseBlocker & { backendStart: string | null; idle: boolean };

export type Servers = Pick<ActivityDeps, 'resolveSecret'> & {
  environment: Pick<EnvironmentConfig, 'nodes' | 'postgres'>;
};

const ASK_MS = 2_000;
const QUERY_HEAD = 200;
/** A statement that was cancelled is over in milliseconds; a client that then keeps its failed transaction open is disconnected. */
const AFTER_CANCEL_MS = 300;

type Activity = {
  pid: number;
  database: string;
  user: string;
  age: number;
  query: string;
  backendStart: string;
  idle: boolean;
};

const ACTIVITY = `
  select pid, datname as database, usename as "user", backend_start::text as "backendStart",
         floor(extract(epoch from clock_timestamp() - coalesce(xact_start, query_start, backend_start)))::int as age,
         left(query, ${String(QUERY_HEAD)}) as query, state <> 'active' as idle
    from pg_stat_activity where pid = any($1) and backend_type = 'client backend'`;

/** The sessions behind the held connections; what no server says of them comes from the pooler. */
export async function findBlockers(
  servers: Servers,
  held: readonly HeldServer[],
  databases: readonly PooledDatabase[],
  nowMs: number,
): Promise<FoundBlocker[]> {
  const pids = held.flatMap(({ pid }) => (pid === null ? [] : [pid]));
  const seen =
    pids.length === 0 ? [] : await onPrimary(servers, (client) => readActivity(client, pids)).catch(() => []);
  const realName = new Map(databases.map((database) => [database.name, database.realName]));
  return held.map(({ pid, database, user, sinceMs }) => {
    const match = (seen ?? []).find((one) => one.pid === pid && one.database === realName.get(database));
    const known = { pid, database, user };
    if (match !== undefined) {
      const { age, query, backendStart, idle } = match;
      return { ...known, ageSeconds: age, query: query.replace(/\s+/g, ' ').trim(), backendStart, idle };
    }
    const ageSeconds = sinceMs === null ? 0 : Math.max(0, Math.floor((nowMs - sinceMs) / 1_000));
    return { ...known, ageSeconds, query: '', backendStart: null, idle: false };
  });
}

async function readActivity(client: pg.Client, pids: readonly number[]): Promise<Activity[]> {
  const { rows } = await client.query<Activity>(ACTIVITY, [pids]);
  return rows;
}

/**
 * Ends these sessions: a running statement is cancelled, and whoever still holds a transaction a moment later is disconnected. Returns those that were
 * told to end. An SQL error (no right to signal) passes.
 */
export async function endBlockers(servers: Servers, blockers: readonly FoundBlocker[]): Promise<FoundBlocker[]> {
  const known = blockers.filter(({ backendStart }) => backendStart !== null);
  if (known.length === 0) return [];
  const told = await onPrimary(servers, async (client) => {
    const cancelled = await signal(
      client,
      'pg_cancel_backend',
      known.filter(({ idle }) => !idle),
    );
    const disconnected = await signal(
      client,
      'pg_terminate_backend',
      known.filter(({ idle }) => idle),
    );
    if (cancelled.length > 0) {
      await new Promise((resolve) => setTimeout(resolve, AFTER_CANCEL_MS));
      await signal(
        client,
        'pg_terminate_backend',
        known.filter(({ pid }) => pid !== null && cancelled.includes(pid)),
      );
    }
    return new Set([...cancelled, ...disconnected]);
  });
  return known.filter(({ pid }) => pid !== null && told?.has(pid));
}

type Signal = 'pg_cancel_backend' | 'pg_terminate_backend';

/**
 * Two statements: with the function in the WHERE clause of a join PostgreSQL may call it for every session before it joins (measured: it ended them all).
 */
async function signal(client: pg.Client, how: Signal, whom: readonly FoundBlocker[]): Promise<number[]> {
  const { rows: still } = await client.query<{ pid: number }>(
    `select a.pid from pg_stat_activity a
       join unnest($1::int[], $2::text[]) as b (pid, backend_start)
         on a.pid = b.pid and a.backend_start = b.backend_start::timestamptz`,
    [whom.map(({ pid }) => pid), whom.map(({ backendStart }) => backendStart)],
  );
  const { rows: told } = await client.query<{ pid: number; sent: boolean }>(
    `select pid, ${how}(pid) as sent from unnest($1::int[]) as b (pid)`,
    [still.map(({ pid }) => pid)],
  );
  return told.filter(({ sent }) => sent).map(({ pid }) => pid);
}

/** Null when no node says that it is primary. */
async function onPrimary<T>(
  { environment, resolveSecret }: Servers,
  work: (client: pg.Client) => Promise<T>,
): Promise<T | null> {
  const { user, database, password: reference } = environment.postgres;
  const password = reference === undefined ? null : await resolveSecret(reference);
  const limits = { connectTimeoutMs: ASK_MS, statementTimeoutMs: ASK_MS };
  const answers = await Promise.allSettled(
    environment.nodes.map(({ address, port }) =>
      withClient({ host: address, port, user, database, password, ...limits }, async (client) => {
        const { rows } = await client.query<{ standby: boolean }>('select pg_is_in_recovery() as standby');
        return rows[0]?.standby === false ? { done: await work(client) } : null;
      }),
    ),
  );
  const failed = answers.find((answer) => answer.status === 'rejected' && !isUnreachable(answer.reason));
  if (failed?.status === 'rejected') throw failed.reason;
  return (
    answers.flatMap((answer) =>
      answer.status === 'fulfilled' && answer.value !== null ? [answer.value.done] : [],
    )[0] ?? null
  );
}

/** A node that does not answer is not the one that runs the transactions. */
const isUnreachable = (error: unknown): boolean => (error as { type?: unknown } | null)?.type === 'DatabaseUnavailable';
