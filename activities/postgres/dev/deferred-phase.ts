/**
 * The rows that `--fast` left out, into the database that is in use. They are loaded beside their tables first (table by table, resumable, seen by
 * nobody) and come in together in one transaction, with the SQL of the team for them: either all of it, or nothing.
 */
import type pg from 'pg';

import { stepFailure } from '../../lib/failure.js';
import { faultPoint } from '../../lib/fault-points.js';
import { copiedTable } from '../dump/sql-statements.js';
import { openArchive, readTocOf } from './archive.js';
import { contentOf, type Content, type PostItem, type TableData } from './content.js';
import { analyze, refreshKey, refreshViews } from './finish-phase.js';
import { loadTable } from './load-table.js';
import { createMeter } from './meter.js';
import { STATE_SCHEMA } from './names.js';
import { inSessions, inTransaction, isRefused, saidOf, type Outcome, type Phase } from './phase.js';
import { foreignKeyOf, postKey, prove, provenKey, runItem } from './post-tasks.js';
import { readPostSql, runPostSql } from './run-post-sql.js';
import { runTasks, type Task } from './schedule.js';
import { only } from './schema-phase.js';
import { applyFastSettings, putBackSettings } from './server-settings.js';
import {
  addProblem,
  changeState,
  clearProblems,
  forgetDone,
  markDone,
  readDone,
  readProblems,
  readState,
} from './state.js';

const FAULT_TABLE_DONE = 'restore-dev:deferred-table-done';
const FAULT_BEFORE_MERGE = 'restore-dev:before-merge';
const FAULT_MERGED = 'restore-dev:merged';
const MERGED_KEY = 'merged';

const shadowOf = ({ entry }: TableData): string => `${STATE_SCHEMA}.rows_${String(entry.id)}`;
const shadowKey = ({ entry }: TableData): string => `shadow:${String(entry.id)}`;

export async function loadDeferredPhase(phase: Phase): Promise<Outcome> {
  const { plan, names, file, maintenance, spec } = phase;
  const archive = await openArchive(file.path);
  if (plan.fastSettings) await applyFastSettings(maintenance, spec.journal);
  try {
    const content = contentOf(archive.toc, { deferred: plan.deferred });
    const tables = content.tables.filter(({ deferred }) => deferred);
    return await inSessions(phase, names.current, plan.jobs, async (clients) => {
      await requireState(only(clients[0]));
      const done = await readDone(only(clients[0]));
      if (done.has(MERGED_KEY)) return { outcome: 'already-done' };
      const wanted = tables.map((table) => ({ ...table, deferred: false }));
      const meter = createMeter(phase.progress, { tables: wanted, post: [] }, archive, new Map());
      const tasks = tables
        .filter((table) => !done.has(shadowKey(table)))
        .map((table): Task<pg.Client> => {
          const bytes = archive.bytesOf(table.entry.id);
          const key = shadowKey(table);
          const run = async (client: pg.Client): Promise<void> => {
            const real = realTable(table);
            await client.query(`create table if not exists ${shadowOf(table)} (like ${real})`);
            const apart = { ...table, viaRoot: false };
            await loadTable(client, { archive, table: apart, encoding: content.encoding, meter, key }, shadowOf(table));
            meter.tableDone(key, bytes);
            faultPoint(FAULT_TABLE_DONE);
          };
          return { key, after: [], weight: bytes, locks: [], exclusive: false, run };
        });
      await runTasks(tasks, clients);
      return { bytes: meter.outcome().bytes, tables: tables.length };
    });
  } finally {
    await putBackSettings(maintenance, spec.journal);
    await archive.close();
  }
}

async function requireState(client: pg.Client): Promise<void> {
  if ((await readState(client)) !== null) return;
  throw stepFailure('PreconditionFailed', 'pgr did not restore this database', {
    hint: 'restore it with --fast first',
  });
}

/** The table as the COPY of the archive names it. */
function realTable({ entry }: TableData): string {
  const found = copiedTable(entry.copySql.trim());
  if (found !== null) return found;
  throw stepFailure('BackupCorrupt', `the archive does not say how the rows of ${entry.tag} are loaded`);
}

export async function finishDeferredPhase(phase: Phase): Promise<Outcome> {
  const { plan, names, file } = phase;
  const content = contentOf(await readTocOf(file.path), { deferred: plan.deferred });
  return inSessions(phase, names.current, plan.jobs, async (clients) => {
    const client = only(clients[0]);
    const done = await readDone(client);
    const notes = done.has(MERGED_KEY) ? [] : await merge(phase, client, content);
    faultPoint(FAULT_MERGED);
    await proveAll(clients, content.post);
    const stale = content.refreshes.filter(({ id }) => content.staleRefreshes.has(id));
    await forgetDone(client, stale.map(refreshKey));
    await refreshViews(phase, clients, new Map(), (id, isStale) => isStale.has(id));
    await analyze(phase, clients);
    const problems = await readProblems(client);
    await inTransaction(client, async () => {
      await changeState(client, { deferred: [], mode: 'full' });
      await forgetDone(client, [MERGED_KEY, ...content.tables.map(shadowKey)]);
    });
    return { notes, problems, tables: content.tables.filter(({ deferred }) => deferred).length };
  });
}

/** One transaction: the deferred tables are locked for it, and nobody can have missed them before. */
async function merge({ plan }: Phase, client: pg.Client, content: Content): Promise<string[]> {
  const tables = content.tables.filter(({ deferred }) => deferred);
  const files = await readPostSql(plan.postDeferred);
  const own = new Set(tables.map(({ tableId }) => tableId));
  const apart = content.post.filter(
    ({ entry, own: table }) => own.has(table) && ['INDEX', 'FK CONSTRAINT'].includes(entry.desc),
  );
  const notes: string[] = [];
  faultPoint(FAULT_BEFORE_MERGE);
  await inTransaction(client, async () => {
    // Triggers of the application saw these rows when they were written.
    await attempt(client, 'set local session_replication_role = replica');
    const dropped: PostItem[] = [];
    for (const item of [...apart].reverse()) {
      if ((await attempt(client, item.entry.dropSql)) === null) dropped.unshift(item);
    }
    for (const table of tables) notes.push(...(await moveRows(client, table)));
    await client.query('set local session_replication_role = origin');
    await runPostSql(client, files);
    for (const item of dropped) await makeAgain(client, item);
    for (const table of tables) await client.query(`drop table ${shadowOf(table)}`);
    await markDone(client, MERGED_KEY);
  });
  return notes;
}

/** A row that the developer made meanwhile under the same key stays. */
async function moveRows(client: pg.Client, table: TableData): Promise<string[]> {
  const columns = /(\(.*\)) FROM stdin;$/.exec(table.entry.copySql.trim())?.[1];
  if (columns === undefined) return [];
  const real = realTable(table);
  const list = columns.slice(1, -1);
  const { rows } = await client.query<{ there: string }>(`select count(*) as there from ${shadowOf(table)}`);
  const moved = await client.query(
    `insert into ${real} (${list}) overriding system value select ${list} from ${shadowOf(table)} on conflict do nothing`,
  );
  const kept = Number(rows[0]?.there ?? 0) - (moved.rowCount ?? 0);
  return kept === 0
    ? []
    : [`${table.table}: ${String(kept)} rows were left out, their keys are taken by rows that were made here`];
}

async function makeAgain(client: pg.Client, { entry }: PostItem): Promise<void> {
  const foreignKey = foreignKeyOf(entry.sql);
  const failed = await attempt(client, foreignKey?.unprovenSql ?? entry.sql);
  await forgetDone(client, [provenKey(entry.id)]);
  if (failed === null) await clearProblems(client, [postKey(entry.id)]);
  else await addProblem(client, postKey(entry.id), `${entry.desc} ${entry.tag}: ${failed}`);
}

/** Runs a statement that may be refused; what the server said then, else null. */
async function attempt(client: pg.Client, sql: string): Promise<string | null> {
  await client.query('savepoint attempt');
  try {
    await client.query(sql);
    await client.query('release savepoint attempt');
    return null;
  } catch (error) {
    if (!isRefused(error)) throw error;
    await client.query('rollback to savepoint attempt');
    return saidOf(error);
  }
}

/** Foreign keys that wait for their rows, all at once. */
export async function proveAll(clients: readonly pg.Client[], post: readonly PostItem[]): Promise<void> {
  const done = await readDone(only(clients[0]));
  const tasks = post
    .filter(({ entry }) => entry.desc === 'FK CONSTRAINT' && !done.has(provenKey(entry.id)))
    .flatMap((item): Task<pg.Client>[] => {
      const foreignKey = foreignKeyOf(item.entry.sql);
      if (foreignKey === null) return [];
      const run = async (client: pg.Client): Promise<void> => {
        if (!done.has(postKey(item.entry.id))) await runItem(client, { ...item, unproven: false }, foreignKey);
        await prove(client, item, foreignKey);
      };
      return [{ key: provenKey(item.entry.id), after: [], weight: 0, locks: item.tables, exclusive: true, run }];
    });
  await runTasks(tasks, clients);
}
