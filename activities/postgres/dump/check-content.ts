/** Evidence about what a restore made: everything valid, every row there, no sequence behind its table. */
import type pg from 'pg';

import type { DumpPlan } from '../../../shared/contracts/dump.js';
import type { EvidenceCheck, TableCount } from '../../../shared/contracts/sandbox.js';
import { checkOf, type CheckOutcome } from '../sandbox/evidence.js';

const MOST_NAMES = 10;

/** Rows of evidence that one session in the restored database can give. */
export async function contentChecks(client: pg.Client, plan: DumpPlan): Promise<EvidenceCheck[]> {
  return [
    await checkOf('invalid-indexes', 'none', () => namesOutcome(client, INVALID_INDEXES)),
    await checkOf('constraints', constraintsExpected(plan), () => constraintsOutcome(client, plan)),
    await checkOf('sequences', 'no sequence is behind the column that it fills', () => sequencesOutcome(client)),
    await checkOf('extensions', plan.extensions.join(', ') || 'none', () => extensionsOutcome(client, plan)),
    await checkOf('not-analyzed', 'none', () => namesOutcome(client, NOT_ANALYZED)),
  ];
}

const INVALID_INDEXES = `select format('%I.%I', n.nspname, c.relname) as name
  from pg_index i join pg_class c on c.oid = i.indexrelid join pg_namespace n on n.oid = c.relnamespace
  where not (i.indisvalid and i.indisready) order by 1`;

/** A table without an estimate was never analyzed; -1 since 14. */
const NOT_ANALYZED = `select format('%I.%I', n.nspname, c.relname) as name
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
  where c.relkind = 'r' and n.nspname !~ '^pg_' and n.nspname <> 'information_schema' and c.reltuples < 0
    and pg_relation_size(c.oid) > 0 order by 1`;

async function namesOutcome(client: pg.Client, sql: string): Promise<CheckOutcome> {
  const { rows } = await client.query<{ name: string }>(sql);
  const names = rows.map(({ name }) => name);
  return { actual: names.length === 0 ? 'none' : listed(names), ok: names.length === 0 };
}

function listed(names: readonly string[]): string {
  const more = names.length > MOST_NAMES ? ` and ${String(names.length - MOST_NAMES)} more` : '';
  return `${names.slice(0, MOST_NAMES).join(', ')}${more}`;
}

function constraintsExpected({ notValidConstraints }: DumpPlan): string {
  return notValidConstraints === 0 ? 'all validated' : `${String(notValidConstraints)} not validated, as in the dump`;
}

async function constraintsOutcome(client: pg.Client, { notValidConstraints, dump }: DumpPlan): Promise<CheckOutcome> {
  const { rows } = await client.query<{ name: string }>(
    `select format('%s.%I', conrelid::regclass, conname) as name from pg_constraint
      where not convalidated and coninhcount = 0 order by 1`,
  );
  const actual = rows.length === 0 ? 'all validated' : `not validated: ${listed(rows.map(({ name }) => name))}`;
  // Of a server that was dumped just now nobody counted them before.
  return { actual, ok: dump.takenAtFrom === 'now' || dump.changesDatabase || rows.length <= notValidConstraints };
}

type Sequence = { sequence: string; table: string; column: string; lastValue: string | null; ascending: boolean };

/** Sequences that belong to a column (serial, identity). */
const SEQUENCES = `select s.seqrelid::regclass::text as sequence, d.refobjid::regclass::text as table,
    quote_ident(a.attname) as column, s.seqincrement > 0 as ascending,
    pg_sequence_last_value(s.seqrelid)::text as "lastValue"
  from pg_sequence s
  join pg_depend d on d.classid = 'pg_class'::regclass and d.objid = s.seqrelid and d.refobjsubid > 0
    and d.refclassid = 'pg_class'::regclass and d.deptype in ('a', 'i')
  join pg_attribute a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid
  where a.atttypid in ('int2'::regtype, 'int4'::regtype, 'int8'::regtype) order by 1`;

/** The next value of a sequence that is behind collides with a row that is there. */
async function sequencesOutcome(client: pg.Client): Promise<CheckOutcome> {
  const { rows } = await client.query<Sequence>(SEQUENCES);
  const behind: string[] = [];
  for (const { sequence, table, column, lastValue, ascending } of rows) {
    if (!ascending) continue;
    const { rows: highest } = await client.query<{ behind: boolean; highest: string }>(
      `select max(${column})::text as highest, coalesce(max(${column}) > $1::bigint, false) as behind from ${table}`,
      [lastValue ?? '0'],
    );
    if (highest[0]?.behind === true) {
      behind.push(`${sequence} at ${lastValue ?? 'its start'}, ${table}.${column} has ${highest[0].highest}`);
    }
  }
  const actual = behind.length === 0 ? `${String(rows.length)} sequences, none behind` : listed(behind);
  return { actual, ok: behind.length === 0 };
}

async function extensionsOutcome(client: pg.Client, { extensions }: DumpPlan): Promise<CheckOutcome> {
  const { rows } = await client.query<{ name: string }>('select extname::text as name from pg_extension');
  const there = new Set(rows.map(({ name }) => name));
  const missing = extensions.filter((name) => !there.has(name));
  return missing.length === 0
    ? { actual: extensions.join(', ') || 'none', ok: true }
    : { actual: `missing: ${missing.join(', ')}`, ok: false };
}

/** Rows in the dump against rows in the new cluster, table by table. */
export function rowsOfDumpCheck({ tableRows, dump }: DumpPlan, counts: readonly TableCount[]): EvidenceCheck {
  const check = 'rows-of-dump';
  if (tableRows === null) {
    const why = dump.takenAtFrom === 'now' ? 'dumped in this run' : 'not read (--quick)';
    return { check, expected: 'the rows of the dump', actual: `not compared: the dump was ${why}`, ok: true };
  }
  const restored = new Map(counts.map(({ table, sandbox }) => [table, sandbox]));
  // Rows of a partitioned table may be loaded through its root, which has none of its own.
  const known = tableRows.filter(({ table }) => restored.has(table));
  const wrong = known.filter(({ table, rows }) => restored.get(table) !== rows);
  const lines = wrong.map(({ table, rows }) => `${table} has ${String(restored.get(table))} of ${String(rows)}`);
  const rows = known.reduce((sum, one) => sum + one.rows, 0);
  const uncounted = tableRows.length - known.length;
  return {
    check,
    expected: `${String(rows)} rows in ${String(known.length)} tables`,
    actual: wrong.length === 0 ? 'all of them' : listed(lines),
    ok: wrong.length === 0,
    ...(uncounted === 0 ? {} : { note: `${String(uncounted)} tables of the dump were not counted` }),
  };
}
