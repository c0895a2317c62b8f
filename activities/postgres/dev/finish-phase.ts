/**
 * The last work on a database that nobody uses yet: partitions for rows that have none, the SQL of the team (one transaction), materialized views,
 * statistics. Views come after the SQL: they must not show what it took away.
 */
import type pg from 'pg';

import { faultPoint } from '../../lib/fault-points.js';
import { readTocOf } from './archive.js';
import { contentOf, matches } from './content.js';
import { STATE_SCHEMA } from './names.js';
import { inSessions, inTransaction, isRefused, runStatement, saidOf, type Outcome, type Phase } from './phase.js';
import { readPostSql, runPostSql } from './run-post-sql.js';
import { runTasks, type Task } from './schedule.js';
import { only } from './schema-phase.js';
import { addProblem, markDone, readDone, readProblems } from './state.js';
import type { TocEntry } from './toc.js';

const FAULT_BEFORE_SQL = 'restore-dev:before-post-sql';
const FAULT_SQL_DONE = 'restore-dev:post-sql-done';
const POST_KEY = 'post-restore';

export async function finishPhase(phase: Phase): Promise<Outcome> {
  const { plan, names } = phase;
  return inSessions(phase, names.next, plan.jobs, async (clients) => {
    const client = only(clients[0]);
    const done = await readDone(client);
    const notes = plan.defaultPartitions ? await addDefaultPartitions(client) : [];
    if (!done.has(POST_KEY)) {
      faultPoint(FAULT_BEFORE_SQL);
      const files = await readPostSql(plan.postRestore);
      await inTransaction(client, async () => {
        await runPostSql(client, files);
        await markDone(client, POST_KEY);
      });
      faultPoint(FAULT_SQL_DONE);
    }
    if (!phase.file.whole) notes.push(...(await refreshViews(phase, clients, done, () => true)));
    await analyze(phase, clients);
    return { notes, problems: await readProblems(client) };
  });
}

/** `refresh` in dependency order, those that `wanted` names. */
export async function refreshViews(
  { plan, file }: Pick<Phase, 'plan' | 'file'>,
  clients: readonly pg.Client[],
  done: ReadonlyMap<string, number>,
  wanted: (id: number, stale: ReadonlySet<number>) => boolean,
): Promise<string[]> {
  const { refreshes, staleRefreshes } = contentOf(await readTocOf(file.path), { deferred: plan.deferred });
  const skipped = refreshes.filter((entry) => matches(entry, plan.skipMatviews));
  const tasks = refreshes
    .filter((entry) => !skipped.includes(entry) && wanted(entry.id, staleRefreshes) && !done.has(refreshKey(entry)))
    .map((entry) => refreshTask(entry, refreshes));
  await runTasks(tasks, clients);
  return skipped.length === 0 ? [] : [`materialized views without rows: ${skipped.map(({ tag }) => tag).join(', ')}`];
}

export const refreshKey = ({ id }: Pick<TocEntry, 'id'>): string => `refresh:${String(id)}`;

function refreshTask(entry: TocEntry, all: readonly TocEntry[]): Task<pg.Client> {
  const ids = new Set(all.map(({ id }) => id));
  return {
    key: refreshKey(entry),
    after: entry.dependsOn.filter((id) => ids.has(id)).map((id) => refreshKey({ id })),
    weight: 1,
    locks: [entry.id],
    exclusive: true,
    run: async (client) => {
      try {
        await runStatement(client, async () => {
          await client.query(entry.sql);
          await markDone(client, refreshKey(entry));
        });
      } catch (error) {
        if (!isRefused(error)) throw error;
        await addProblem(client, refreshKey(entry), `${entry.desc} ${entry.tag}: ${saidOf(error)}`);
      }
    },
  };
}

type PartitionedTable = { schema: string; name: string };

/** A dump may have left partitions out: rows for them go into a default partition instead of failing. */
async function addDefaultPartitions(client: pg.Client): Promise<string[]> {
  const { rows } = await client.query<PartitionedTable>(
    `select n.nspname as schema, c.relname as name from pg_partitioned_table p join pg_class c on c.oid = p.partrelid
     join pg_namespace n on n.oid = c.relnamespace where p.partdefid = 0 and p.partstrat <> 'h' order by 1, 2`,
  );
  const notes: string[] = [];
  for (const { schema, name } of rows) {
    const quoted = (text: string): string => client.escapeIdentifier(text);
    const partition = `${name.slice(0, 48)}_pgr_default`;
    try {
      await runStatement(client, async () => {
        await client.query(
          `create table ${quoted(schema)}.${quoted(partition)} partition of ${quoted(schema)}.${quoted(name)} default`,
        );
      });
      notes.push(`${schema}.${partition} takes rows of ${name} for which the dump has no partition`);
    } catch (error) {
      if (!isRefused(error)) throw error;
      await addProblem(client, `default:${schema}.${name}`, `no default partition of ${name}: ${saidOf(error)}`);
    }
  }
  return notes;
}

/** Fresh statistics of every table, the largest first. */
export async function analyze({ progress }: Pick<Phase, 'progress'>, clients: readonly pg.Client[]): Promise<void> {
  const { rows } = await only(clients[0]).query<{ table: string; pages: number }>(
    `select format('%I.%I', n.nspname, c.relname) as table, c.relpages as pages from pg_class c
     join pg_namespace n on n.oid = c.relnamespace
     where c.relkind in ('r', 'm', 'p') and c.relpersistence <> 't' and n.nspname not in ('pg_catalog', 'information_schema', '${STATE_SCHEMA}')
       and n.nspname !~ '^pg_toast' and (c.relkind <> 'm' or c.relispopulated) order by pg_relation_size(c.oid) desc`,
  );
  let analyzed = 0;
  const tasks = rows.map(({ table }, at): Task<pg.Client> => ({
    key: table,
    after: [],
    weight: rows.length - at,
    locks: [],
    exclusive: false,
    run: async (client) => {
      await client.query(`analyze ${table}`);
      analyzed += 1;
      progress({
        done: analyzed,
        total: rows.length,
        unit: 'bytes',
        note: `statistics: ${String(analyzed)} of ${String(rows.length)} tables`,
      });
    },
  }));
  await runTasks(tasks, clients);
}
