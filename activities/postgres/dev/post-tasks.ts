/**
 * Indexes, constraints, triggers. Foreign keys are added without proof first (a moment) and proven afterwards, several at once: an ordinary ADD FOREIGN
 * KEY locks both tables while it reads them. One that points to a table without rows yet stays unproven until `--deferred`: it holds for new rows.
 */
import type pg from 'pg';

import type { Archive } from './archive.js';
import type { Content, PostItem } from './content.js';
import type { Meter } from './meter.js';
import { isRefused, runStatement, saidOf } from './phase.js';
import type { Task } from './schedule.js';
import { addProblem, markDone } from './state.js';

const NAME = String.raw`(?:"(?:[^"]|"")+"|[^\s".;]+)`;
const FOREIGN_KEY = new RegExp(
  String.raw`^ALTER TABLE (?:ONLY )?(${NAME}(?:\.${NAME})?)\s+ADD CONSTRAINT (${NAME}) FOREIGN KEY .*;\s*$`,
  's',
);
const WRONG_OBJECT_TYPE = '42809';

export type ForeignKey = { table: string; constraint: string; unprovenSql: string };

/** A foreign key that can be added first and proven later; null for any other statement. */
export function foreignKeyOf(sql: string): ForeignKey | null {
  const found = FOREIGN_KEY.exec(sql);
  const [, table, constraint] = found ?? [];
  if (table === undefined || constraint === undefined || / NOT (VALID|ENFORCED)\s*;\s*$/.test(sql)) return null;
  return { table, constraint, unprovenSql: sql.replace(/;\s*$/, ' NOT VALID;') };
}

export const postKey = (id: number): string => `post:${String(id)}`;
export const provenKey = (id: number): string => `proven:${String(id)}`;

/** A task for each item, and with `proveNow` one more for each foreign key that is proven apart. */
export function postTasks(
  { post, tables }: Pick<Content, 'post' | 'tables'>,
  archive: Pick<Archive, 'bytesOf'>,
  meter: Pick<Meter, 'built'>,
  proveNow: boolean,
): Task<pg.Client>[] {
  const bytesOfTable = new Map(tables.map(({ tableId, entry }) => [tableId, archive.bytesOf(entry.id)]));
  const weightOf = ({ tables: own }: PostItem): number => own.reduce((sum, id) => sum + (bytesOfTable.get(id) ?? 0), 0);
  return post.flatMap((item) => itemTasks(item, post, { weight: weightOf(item), meter, proveNow }));
}

function itemTasks(
  item: PostItem,
  all: readonly PostItem[],
  { weight, meter, proveNow }: { weight: number; meter: Pick<Meter, 'built'>; proveNow: boolean },
): Task<pg.Client>[] {
  const { entry, tables, exclusive } = item;
  const key = postKey(entry.id);
  const foreignKey = foreignKeyOf(entry.sql);
  const task: Task<pg.Client> = {
    key,
    after: [...item.after.flatMap((id) => [postKey(id), `data:${String(id)}`]), ...waitsFor(item, all)],
    weight,
    locks: tables,
    exclusive: exclusive || entry.desc.endsWith('TRIGGER') || entry.desc === 'FK CONSTRAINT',
    run: async (client) => {
      await runItem(client, item, foreignKey);
      meter.built(entry.tag);
    },
  };
  if (foreignKey === null || item.unproven || !proveNow) return [task];
  const others = all.filter((other) => other.entry.desc === 'FK CONSTRAINT' && sharesTable(other, item));
  return [
    task,
    {
      key: provenKey(entry.id),
      after: [key, ...others.map((other) => postKey(other.entry.id))],
      weight,
      locks: tables,
      exclusive: false,
      run: (client) => prove(client, item, foreignKey),
    },
  ];
}

/** Foreign keys after the indexes of their tables; event triggers, which would see the rest being made, after everything. */
function waitsFor({ entry, tables }: PostItem, all: readonly PostItem[]): string[] {
  if (entry.desc === 'EVENT TRIGGER') {
    return all.filter((other) => other.entry.desc !== 'EVENT TRIGGER').map((other) => postKey(other.entry.id));
  }
  if (entry.desc !== 'FK CONSTRAINT') return [];
  const first = ['INDEX', 'CONSTRAINT', 'INDEX ATTACH'];
  return all
    .filter((other) => first.includes(other.entry.desc) && other.tables.some((id) => tables.includes(id)))
    .map((other) => postKey(other.entry.id));
}

function sharesTable(a: PostItem, b: PostItem): boolean {
  return a.tables.some((id) => b.tables.includes(id));
}

/** Makes an item, unless PostgreSQL refuses it. */
export async function runItem(client: pg.Client, item: PostItem, foreignKey: ForeignKey | null): Promise<void> {
  const { entry, unproven } = item;
  const key = postKey(entry.id);
  const run = (sql: string, proven: boolean): Promise<void> =>
    runStatement(client, async () => {
      await client.query(sql);
      await markDone(client, key);
      if (proven && foreignKey !== null) await markDone(client, provenKey(entry.id));
    });
  await orProblem(client, item, async () => {
    if (foreignKey === null) return run(entry.sql, true);
    try {
      await run(foreignKey.unprovenSql, false);
    } catch (error) {
      // Partitioned tables cannot have one that is not proven (before 18).
      if ((error as { code?: unknown }).code !== WRONG_OBJECT_TYPE) throw error;
      if (!unproven) await run(entry.sql, true);
    }
  });
}

/** Proves a foreign key that was added before; nothing to do for one that is there and proven, or that could not be added. */
export async function prove(client: pg.Client, item: PostItem, { table, constraint }: ForeignKey): Promise<void> {
  const key = provenKey(item.entry.id);
  await orProblem(client, item, async () => {
    const { rows } = await client.query<{ open: boolean }>(
      `select not convalidated as open from pg_constraint
       where conrelid = to_regclass($1) and quote_ident(conname) in ($2, quote_ident($2))`,
      [table, constraint],
    );
    await runStatement(client, async () => {
      if (rows[0]?.open === true) await client.query(`alter table ${table} validate constraint ${constraint}`);
      await markDone(client, key);
    });
  });
}

/** What PostgreSQL refuses is told at the end, and the rest goes on: the database can be used without an index. */
async function orProblem(client: pg.Client, { entry }: PostItem, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (!isRefused(error)) throw error;
    await addProblem(client, postKey(entry.id), `${entry.desc} ${entry.tag}: ${saidOf(error)}`);
  }
}
