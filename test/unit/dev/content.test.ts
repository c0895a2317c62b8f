/**
 * Scenario: an archive is taken apart, table by table.
 * Verified: 1 what is deferred, and what follows from it for constraints and views; 2 what is left out of a copy; 3 tasks run in an order that holds.
 */
import { contentOf, matches } from '../../../activities/postgres/dev/content.js';
import { copyStatement } from '../../../activities/postgres/dev/load-table.js';
import { transactionWord } from '../../../activities/postgres/dev/post-sql.js';
import { foreignKeyOf } from '../../../activities/postgres/dev/post-tasks.js';
import { runTasks, type Task } from '../../../activities/postgres/dev/schedule.js';
import type { Section, TocEntry } from '../../../activities/postgres/dev/toc.js';

function entry(id: number, desc: string, tag: string, section: Section, dependsOn: number[] = [], sql = ''): TocEntry {
  return {
    ...{ id, desc, tag, section, dependsOn, sql, dropSql: '', copySql: '', schema: 'public', accessMethod: null },
    ...{ hasData: desc === 'TABLE DATA', offset: null, fileName: null },
  };
}

const FK =
  'ALTER TABLE ONLY public.orders\n    ADD CONSTRAINT orders_visit_fkey FOREIGN KEY (visit_id) REFERENCES public.visits(id);\n';
const ENTRIES = [
  entry(1, 'ENCODING', 'ENCODING', 'pre-data', [], "SET client_encoding = 'LATIN1';"),
  entry(10, 'TABLE', 'orders', 'pre-data'),
  entry(11, 'TABLE', 'visits', 'pre-data'),
  entry(12, 'TABLE', 'versions', 'pre-data'),
  entry(13, 'TABLE', 'versions_2026', 'pre-data'),
  entry(14, 'TABLE ATTACH', 'versions_2026', 'pre-data', [12, 13]),
  entry(15, 'VIEW', 'v', 'pre-data', [11]),
  entry(16, 'MATERIALIZED VIEW', 'm', 'pre-data', [15]),
  entry(17, 'SUBSCRIPTION', 'from_production', 'post-data'),
  entry(18, 'COMMENT', 'SUBSCRIPTION from_production', 'none', [17]),
  entry(20, 'TABLE DATA', 'orders', 'data', [10]),
  entry(21, 'TABLE DATA', 'visits', 'data', [11]),
  entry(23, 'TABLE DATA', 'versions_2026', 'data', [13]),
  entry(30, 'CONSTRAINT', 'visits visits_pkey', 'post-data', [11]),
  entry(31, 'FK CONSTRAINT', 'orders orders_visit_fkey', 'post-data', [10, 11, 30], FK),
  entry(32, 'COMMENT', 'CONSTRAINT visits_pkey ON visits', 'none', [30]),
  entry(40, 'MATERIALIZED VIEW DATA', 'm', 'post-data', [16]),
];

test('a foreign key to deferred rows cannot be proven yet, and views above them are stale', () => {
  const content = contentOf({ entries: ENTRIES }, { deferred: ['visits'] });
  expect(content.tables.filter(({ deferred }) => deferred).map(({ table }) => table)).toEqual(['public.visits']);
  expect(content.post.find(({ entry: { id } }) => id === 31)).toMatchObject({ own: 10, unproven: true });
  expect([...content.staleRefreshes]).toEqual([40]);
  expect(content.encoding).toBe('LATIN1');
});

test('nothing is unproven or stale when all rows are loaded, or when the table that points is deferred too', () => {
  for (const deferred of [[], ['visits', 'orders'], ['orders']]) {
    const content = contentOf({ entries: ENTRIES }, { deferred });
    expect(content.post.some(({ unproven }) => unproven)).toBe(false);
  }
});

test('a partitioned table stands for its partitions', () => {
  const { tables } = contentOf({ entries: ENTRIES }, { deferred: ['versions'] });
  expect(tables.filter(({ deferred }) => deferred).map(({ table }) => table)).toEqual(['public.versions_2026']);
});

test('a copy subscribes to nothing, and comments go where their object is', () => {
  const { schema, post } = contentOf({ entries: ENTRIES }, { deferred: [] });
  const ids = [...schema, ...post.map((item) => item.entry)].map(({ id }) => id);
  expect(ids).not.toContain(17);
  expect(ids).not.toContain(18);
  expect(post.map((item) => item.entry.id)).toEqual([30, 31, 32]);
});

test.each([
  ['visits', true],
  ['vis*', true],
  ['visit?', true],
  ['public.visits', true],
  ['*.visits', true],
  ['log.*', false],
  ['visit', false],
  ['public.v', false],
])('the glob %s is about public.visits: %s', (glob, wanted) => {
  expect(matches({ schema: 'public', tag: 'visits' }, [glob])).toBe(wanted);
});

test('a foreign key is taken apart, any other statement is not', () => {
  expect(foreignKeyOf(FK)).toMatchObject({ table: 'public.orders', constraint: 'orders_visit_fkey' });
  expect(foreignKeyOf(FK)?.unprovenSql).toMatch(/\(id\) NOT VALID;$/);
  expect(foreignKeyOf(FK.replace(');\n', ') NOT VALID;\n'))).toBeNull();
  expect(foreignKeyOf('ALTER TABLE ONLY public.a ADD CONSTRAINT a_pkey PRIMARY KEY (id);')).toBeNull();
});

test('rows come frozen, in the encoding of the archive', () => {
  const sql = 'COPY public.orders (id, "from stdin") FROM stdin;\n';
  expect(copyStatement(sql, { encoding: 'UTF8', frozen: true })).toBe(
    'COPY public.orders (id, "from stdin") FROM stdin WITH (FREEZE);',
  );
  expect(copyStatement(sql, { encoding: 'LATIN1', frozen: false, into: 'pgr_restore.rows_1' })).toBe(
    `COPY pgr_restore.rows_1 (id, "from stdin") FROM stdin WITH (ENCODING 'LATIN1');`,
  );
});

test.each([
  ['update a set b = 1;\ncommit;\n', 'COMMIT'],
  ['BEGIN;\nselect 1;', 'BEGIN'],
  ['select 1; rollback;', 'ROLLBACK'],
  ['\\i other.sql', 'command to psql (\\…)'],
])('%j would end the transaction', (sql, word) => {
  expect(transactionWord(sql)).toBe(word);
});

test.each([
  "update a set b = 'commit;';",
  '-- commit;\nselect 1;',
  'do $$\nbegin\n  perform 1;\nend\n$$;\nselect 2;',
  'create function f() returns int language plpgsql as $f$\nbegin\nreturn 1;\nend $f$;',
])('%j is fine', (sql) => {
  expect(transactionWord(sql)).toBeNull();
});

test('tasks wait for what they need, an exclusive one shares its table with nobody', async () => {
  const log: string[] = [];
  const running = new Set<string>();
  const task = (key: string, after: string[], locks: number[], exclusive: boolean): Task<number> => ({
    ...{ key, after, locks, exclusive, weight: 1 },
    run: async () => {
      if (exclusive) expect([...running].filter((other) => other.endsWith(String(locks[0])))).toEqual([]);
      running.add(`${key}@${String(locks[0])}`);
      await new Promise((resolve) => setImmediate(resolve));
      running.delete(`${key}@${String(locks[0])}`);
      log.push(key);
    },
  });
  await runTasks(
    [task('c', ['b'], [1], false), task('b', ['a'], [1], true), task('a', [], [1], false), task('d', [], [2], true)],
    [1, 2, 3],
  );
  expect(log.indexOf('a')).toBeLessThan(log.indexOf('b'));
  expect(log.indexOf('b')).toBeLessThan(log.indexOf('c'));
  expect(log).toHaveLength(4);
});

test('tasks that wait for each other are a failure and no endless wait', async () => {
  const task = (key: string, after: string): Task<number> => ({
    ...{ key, after: [after], locks: [], exclusive: false, weight: 1 },
    run: () => Promise.resolve(),
  });
  await expect(runTasks([task('a', 'b'), task('b', 'a')], [1, 2])).rejects.toMatchObject({ type: 'Bug' });
});
