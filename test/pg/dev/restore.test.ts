/**
 * Scenario: a developer refreshes a database from a dump.
 * Verified: 1 every format gives the same rows, indexes and constraints as production has; 2 `--fast` leaves the deferred rows out and `--deferred` brings
 * them, foreign keys proven; 3 no insert fails for a partition that the dump left out; 4 the old database stays until the new one is complete, one
 * previous copy is kept; 5 the SQL of the team ran before anybody could see the rows.
 */
import { writeFile } from 'node:fs/promises';
import path from 'node:path';

import { makeScene, ROWS, sqlFile, UNTIL_USABLE, type Scene } from './support.js';

jest.setTimeout(180_000);

let scene: Scene;

beforeAll(async () => {
  scene = await makeScene();
});
afterEach(async () => {
  for (const name of ['shop_dev', 'shop_dev__pgr_new', 'shop_dev__pgr_previous']) {
    await scene.dev.query(`drop database if exists ${name} with (force)`);
  }
});
afterAll(async () => scene.destroy());

const CATALOG = `select json_build_object(
  'indexes', (select json_agg(indexdef order by schemaname, indexname) from pg_indexes where schemaname in ('public', 'log') and indexname !~ 'pgr_default'),
  'constraints', (select json_agg(conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(oid) || ' ' || convalidated order by conrelid::regclass::text, conname)
     from pg_constraint where connamespace in ('public'::regnamespace, 'log'::regnamespace) and conrelid::regclass::text !~ 'pgr_default' and conname !~ '_[0-9]+$'),
  'triggers', (select json_agg(tgname || tgenabled::text order by tgname) from pg_trigger where not tgisinternal),
  'policies', (select json_agg(polname) from pg_policy),
  'customers', (select md5(string_agg(c::text, '' order by id)) from customers c),
  'orders', (select md5(string_agg(o::text, '' order by id)) from orders o),
  'visits', (select md5(string_agg(v::text, '' order by id)) from visits v),
  'order_visits', (select md5(string_agg(v::text, '' order by order_id)) from order_visits v),
  'audits', (select md5(string_agg(a::text, '' order by id)) from log.audits a),
  'versions', (select md5(string_agg(v::text, '' order by id)) from versions v),
  'odd', (select json_agg(o order by "a b") from "Odd ""name" o),
  'sequence', (select last_value from orders_id_seq),
  'totals', (select md5(string_agg(t::text, '' order by customer_id)) from order_totals t),
  'all', (select total from totals_of_totals),
  'counts', (select json_agg(c order by agent) from visit_counts c),
  'large', (select json_agg(convert_from(lo_get(oid), 'utf8')) from pg_largeobject_metadata)) as all`;

async function production(): Promise<unknown> {
  const { url } = scene.production;
  const rows = await query(url.replace(/postgres$/, 'shop'), CATALOG);
  return rows[0]?.['all'];
}

async function query(url: string, sql: string): Promise<Record<string, unknown>[]> {
  const { default: pg } = await import('pg');
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query<Record<string, unknown>>(sql)).rows;
  } finally {
    await client.end();
  }
}

async function restored(): Promise<unknown> {
  return (await scene.dev_sql(CATALOG))[0]?.['all'];
}

test.each(['custom', 'piped', 'directory'] as const)(
  'a dump of kind %s gives what production has, all at once',
  async (kind) => {
    const plan = await scene.plan(scene.dumps[kind], { mode: 'full' });
    await scene.run(plan, 'schema', 'load');
    const result = await scene.run(plan, 'finish');
    expect(result.problems).toEqual([]);
    await scene.run(plan, 'swap');
    expect(await restored()).toEqual(await production());
  },
);

test.each(['zstd', 'lz4'] as const)('rows that are packed with %s are read', async (kind) => {
  const plan = await scene.plan(scene.dumps[kind], { mode: 'full' });
  await scene.run(plan, 'schema');
  await scene.dev_sql("insert into pgr_restore.done (key) values ('large-objects')", 'shop_dev__pgr_new');
  await scene.run(plan, 'load', 'finish', 'swap');
  expect({ ...((await restored()) as object), large: null }).toEqual({
    ...((await production()) as object),
    large: null,
  });
});

test.each(['plain', 'tar', 'inserts'] as const)('a dump of kind %s is restored in one piece', async (kind) => {
  const plan = await scene.plan(scene.dumps[kind]);
  await scene.run(plan, ...UNTIL_USABLE);
  expect(await restored()).toEqual(await production());
});

const DEFERRED = ['visits', 'log.*'];

test('fast leaves the deferred rows out, deferred brings them with everything that stands on them', async () => {
  const plan = await scene.plan(scene.dumps.custom, { deferred: DEFERRED });
  const loaded = await scene.run(plan, 'schema', 'load');
  expect(loaded.deferred.sort()).toEqual(['log.audits', 'public.visits']);
  expect((await scene.run(plan, 'finish', 'swap')).problems).toEqual([]);
  const [before] =
    await scene.dev_sql(`select (select count(*) from visits) as visits, (select count(*) from log.audits) as audits,
    (select count(*) from orders) as orders, (select count(*) from order_visits) as links, (select count(*) from pg_indexes where indexname = 'visits_agent') as indexes`);
  expect(before).toEqual({ visits: '0', audits: '0', orders: String(ROWS), links: '1000', indexes: '1' });
  // What is not there yet can be used all the same: a new visit has a number that no old one has.
  await scene.dev_sql("insert into visits (order_id, agent) values (1, 'mine')");
  await expect(scene.dev_sql('insert into order_visits values (1, 999999999)')).rejects.toThrow(/foreign key/);
  await scene.dev_sql('delete from visits');
  const later = { ...plan, mode: 'deferred' as const };
  await scene.run(later, 'load-deferred');
  const ended = await scene.run(later, 'finish-deferred');
  expect(ended.problems).toEqual([]);
  expect(await restored()).toEqual(await production());
  const [left] = await scene.dev_sql("select count(*) from pg_tables where tablename like 'rows_%'");
  expect(left).toEqual({ count: '0' });
});

test('foreign keys hold at once, and are proven while the database is in use', async () => {
  const plan = await scene.plan(scene.dumps.custom, { deferred: ['visits'] });
  await scene.run(plan, ...UNTIL_USABLE);
  await expect(scene.dev_sql('insert into orders (customer_id) values (999999)')).rejects.toThrow(/foreign key/);
  expect((await scene.run(plan, 'prove')).problems).toEqual([]);
  const open = await scene.dev_sql("select conname from pg_constraint where contype = 'f' and not convalidated");
  // The rows that it points to are not there yet.
  expect(open).toEqual([{ conname: 'order_visits_visit_id_fkey' }]);
});

test('rows that the developer made meanwhile stay, and a reference that was deleted is told', async () => {
  const plan = await scene.plan(scene.dumps.custom, { deferred: DEFERRED });
  await scene.run(plan, ...UNTIL_USABLE);
  await scene.dev_sql("insert into visits (id, order_id, agent) overriding system value values (1, 2, 'mine')");
  await scene.dev_sql('delete from order_visits where order_id = 5');
  await scene.dev_sql('delete from orders where id = 5');
  const later = { ...plan, mode: 'deferred' as const };
  await scene.run(later, 'load-deferred');
  const ended = await scene.run(later, 'finish-deferred');
  expect(ended.notes).toEqual([expect.stringMatching(/public.visits: 1 rows were left out/)]);
  expect(ended.problems).toEqual([expect.stringMatching(/visits_order_id_fkey.*violates foreign key/)]);
  const [mine] = await scene.dev_sql('select agent from visits where id = 1');
  expect(mine).toEqual({ agent: 'trigger' });
});

test('no insert fails for a partition that the dump left out', async () => {
  const plan = await scene.plan(scene.dumps.partial);
  await scene.run(plan, 'schema', 'load');
  const { notes } = await scene.run(plan, 'finish');
  expect(notes).toEqual([expect.stringMatching(/versions_pgr_default takes rows of versions/)]);
  await scene.run(plan, 'swap');
  await scene.dev_sql("insert into versions values (1, 2025, 'old'), (1, 2031, 'new')");
  await expect(scene.dev_sql("insert into versions values (1, 2031, 'again')")).rejects.toThrow(/duplicate key/);
});

test('the old database serves until the new one is complete, then it is the previous one', async () => {
  await scene.dev.query('create database shop_dev');
  await scene.dev_sql("create table mine as select 'first' as what");
  const plan = await scene.plan(scene.dumps.custom);
  await scene.run(plan, 'schema', 'load', 'finish');
  expect(await scene.dev_sql('select what from mine')).toEqual([{ what: 'first' }]);
  await scene.run(plan, 'swap');
  expect(await scene.dev_sql('select what from mine', 'shop_dev__pgr_previous')).toEqual([{ what: 'first' }]);
  await scene.run(plan, ...UNTIL_USABLE);
  const names = await scene.dev.query("select datname from pg_database where datname like 'shop%' order by 1");
  expect(names).toEqual([{ datname: 'shop_dev' }, { datname: 'shop_dev__pgr_previous' }]);
  expect((await scene.run(plan, 'swap')).outcome).toBe('already-done');
});

test('an application that connects again and again does not hold the swap up', async () => {
  await scene.dev.query('create database shop_dev');
  const plan = await scene.plan(scene.dumps.custom);
  await scene.run(plan, 'schema', 'load', 'finish');
  let going = true;
  const apps = [1, 2, 3].map(async () => {
    while (going) await scene.dev_sql('select pg_sleep(5)').catch(() => undefined);
  });
  try {
    await scene.run(plan, 'swap');
  } finally {
    going = false;
    await scene.dev.query(
      "select pg_terminate_backend(pid) from pg_stat_activity where query like '%pg_sleep%' and pid <> pg_backend_pid()",
    );
    await Promise.all(apps);
  }
  expect(await scene.dev_sql('select count(*) from orders')).toEqual([{ count: String(ROWS) }]);
});

test('the SQL of the team has run before anybody can connect, all of it or nothing', async () => {
  const good = path.join(scene.dir, 'anonymise.sql');
  await writeFile(
    good,
    "update customers set email = 'c' || id || '@dev.example';\ncreate table dev_users (name text);\n",
  );
  const bad = path.join(scene.dir, 'bad.sql');
  await writeFile(bad, 'insert into dev_users values (1, 2, 3);\n');
  const failing = await scene.plan(scene.dumps.custom, { postRestore: [await sqlFile(good), await sqlFile(bad)] });
  await scene.run(failing, 'schema', 'load');
  await expect(scene.run(failing, 'finish')).rejects.toMatchObject({
    type: 'CommandFailed',
    message: expect.stringMatching(/bad.sql/) as unknown,
  });
  const [half] = await scene.dev_sql(
    "select (select count(*) from customers where email like '%prod%') as prod, to_regclass('dev_users') as users",
    'shop_dev__pgr_new',
  );
  expect(half).toEqual({ prod: '500', users: null });
  await expect(scene.dev_sql('select 1')).rejects.toThrow(/does not exist/);
  const plan = await scene.plan(scene.dumps.custom, { postRestore: [await sqlFile(good)] });
  await scene.run(plan, ...UNTIL_USABLE);
  const [after] = await scene.dev_sql(
    "select (select count(*) from customers where email like '%prod%') as prod, (select count(*) from order_totals) as totals",
  );
  expect(after).toMatchObject({ prod: '0' });
});

test('nobody but superusers can connect to a database that is not finished', async () => {
  await scene.dev.query('drop role if exists app');
  await scene.dev.query('create role app login');
  const plan = await scene.plan(scene.dumps.custom);
  await scene.run(plan, 'schema', 'load');
  const url = scene.dev.url.replace('postgres@', 'app@').replace(/postgres$/, 'shop_dev__pgr_new');
  await expect(query(url, 'select 1')).rejects.toThrow(/too many connections/);
  await scene.run(plan, 'finish', 'swap');
  expect(
    await query(scene.dev.url.replace('postgres@', 'app@').replace(/postgres$/, 'shop_dev'), 'select 1 as one'),
  ).toEqual([{ one: 1 }]);
});

test('views that are not wanted stay empty', async () => {
  const plan = await scene.plan(scene.dumps.custom, { skipMatviews: ['visit_*'] });
  await scene.run(plan, 'schema', 'load');
  expect((await scene.run(plan, 'finish', 'swap')).outcome).toBe('done');
  await expect(scene.dev_sql('select * from visit_counts')).rejects.toThrow(/has not been populated/);
  expect(await scene.dev_sql('select count(*) > 0 as rows from order_totals')).toEqual([{ rows: true }]);
});

test('another server at the same address is not touched', async () => {
  const plan = await scene.plan(scene.dumps.custom);
  const other = { ...plan, target: { ...plan.target, systemIdentifier: '1234567890123456789' } };
  await expect(scene.run(other, 'schema')).rejects.toMatchObject({ type: 'IdentityMismatch' });
  expect(await scene.dev.query("select datname from pg_database where datname like 'shop%'")).toEqual([]);
});
