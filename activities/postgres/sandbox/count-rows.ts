/** Exact row counts of one database, in bounded time. */
import type pg from 'pg';

import { sqlStateOf } from '../../lib/database.js';
import { reasonOf } from './evidence.js';

type CountedTable = { table: string; rows: number };
type UncountedTable = { table: string; why: string; locked: boolean };
export type RowCounts = { counted: CountedTable[]; uncounted: UncountedTable[] };

type TableRow = { table: string; oid: string; persistence: string };

/** Ordinary tables (also partitions) of users, smallest first, so that a limit of time costs the fewest of them. */
const TABLES = `select format('%I.%I', n.nspname, c.relname) as table, c.oid::text as oid, c.relpersistence::text as persistence
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
  where c.relkind = 'r' and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
  order by c.relpages, 1`;

/** Tables that replay holds locked: a transaction in progress at T had truncated, dropped or altered them. */
const LOCKED = `select relation::text as oid from pg_locks where locktype = 'relation' and granted
  and mode = 'AccessExclusiveLock' and database = (select oid from pg_database where datname = current_database())`;

/**
 * Counts with as many sessions as are given. `unlogged`: whether a recovery emptied such tables. What is not counted by `deadlineMs` is listed, not waited for; a locked table is named at once.
 */
export async function countRows(
  clients: readonly pg.Client[],
  deadlineMs: number,
  unlogged: 'emptied' | 'kept' = 'emptied',
): Promise<RowCounts> {
  const [first] = clients;
  if (first === undefined) return { counted: [], uncounted: [] };
  const { rows: tables } = await first.query<TableRow>(TABLES);
  const { rows: locks } = await first.query<{ oid: string }>(LOCKED);
  const locked = new Set(locks.map((lock) => lock.oid));
  const counts: RowCounts = { counted: [], uncounted: [] };
  const queue = [...tables];
  await Promise.all(
    clients.map(async (client) => {
      for (let table = queue.shift(); table !== undefined; table = queue.shift()) {
        const outcome = await countOne(client, table, locked.has(table.oid), deadlineMs, unlogged);
        if ('rows' in outcome) counts.counted.push(outcome);
        else counts.uncounted.push(outcome);
      }
    }),
  );
  return counts;
}

async function countOne(
  client: pg.Client,
  { table, persistence }: TableRow,
  isLocked: boolean,
  deadlineMs: number,
  unlogged: 'emptied' | 'kept',
): Promise<CountedTable | UncountedTable> {
  if (persistence === 'u' && unlogged === 'emptied')
    return { table, why: 'it is unlogged: recovery empties it', locked: false };
  if (isLocked) return { table, why: LOCK_REASON, locked: true };
  if (Date.now() >= deadlineMs) return { table, why: 'no time was left', locked: false };
  try {
    // `only`: the rows of children are counted with the children.
    const { rows } = await client.query<{ rows: string }>(`select count(*)::text as rows from only ${table}`);
    return { table, rows: Number(rows[0]?.rows ?? 0) };
  } catch (error) {
    const state = sqlStateOf(error);
    if (state === '55P03') return { table, why: LOCK_REASON, locked: true };
    if (state === '57014') return { table, why: 'it took longer than verify.statementTimeout', locked: false };
    return { table, why: reasonOf(error), locked: false };
  }
}

const LOCK_REASON =
  'a transaction in progress at T holds it locked (truncate, drop or alter); promotion rolls that back';
