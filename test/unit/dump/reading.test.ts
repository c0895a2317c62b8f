/**
 * Scenario: what lies there must be understood before anything is made of it.
 * Verified: 1 the kind of a file by its bytes; 2 what a script says, wherever its chunks are cut; 3 what only looks like a statement.
 */
import fc from 'fast-check';

import { parseArchiveList } from '../../../activities/postgres/dump/archive-list.js';
import { fileKindOf } from '../../../activities/postgres/dump/formats.js';
import { chooseLocale, localeOf, localeOfCreateDatabase } from '../../../activities/postgres/dump/plan-cluster.js';
import { requireUrl } from '../../../activities/postgres/dump/read-server.js';
import { createSqlScanner, type ScanFacts } from '../../../activities/postgres/dump/sql-scan.js';
import {
  connectedDatabase,
  copiedTable,
  databaseStatement,
  extensionMade,
  roleMade,
  rolesNeeded,
} from '../../../activities/postgres/dump/sql-statements.js';

const tar = (name: string): Buffer => {
  const header = Buffer.alloc(512);
  header.write(name, 0);
  header.write('ustar', 257);
  return header;
};

test.each([
  ['a custom archive', Buffer.from('PGDMP\x01\x10'), { kind: 'archive', format: 'custom' }],
  ['a tar archive', tar('toc.dat'), { kind: 'archive', format: 'tar' }],
  ['gzip', Buffer.from([0x1f, 0x8b, 8, 0]), { kind: 'compressed', compression: 'gzip' }],
  ['zstd', Buffer.from([0x28, 0xb5, 0x2f, 0xfd]), { kind: 'compressed', compression: 'zstd' }],
  ['lz4', Buffer.from([0x04, 0x22, 0x4d, 0x18]), { kind: 'compressed', compression: 'lz4' }],
  ['a script', Buffer.from('--\n-- PostgreSQL database dump\n--\n'), { kind: 'sql' }],
  ['a script of a cluster', Buffer.from('--\n-- PostgreSQL database cluster dump\n--\n'), { kind: 'sql' }],
  ['a script with a byte order mark', Buffer.from('\ufeff-- PostgreSQL database dump\n'), { kind: 'sql' }],
])('%s is known by its bytes', (_, head, kind) => {
  expect(fileKindOf(head)).toEqual(kind);
});

test.each([
  ['nothing', Buffer.alloc(0), 'empty'],
  ['a base backup', tar('backup_label'), 'not with toc.dat'],
  ['a tar of a directory', tar('shop.dir/'), 'unpack it'],
  ['a picture', Buffer.from('\x89PNG\0\0'), 'binary'],
  ['a dump of MySQL', Buffer.from('-- MySQL dump 10.13\n'), 'not written by pg_dump'],
])('%s is refused, saying what it is', (_, head, what) => {
  expect(fileKindOf(head)).toEqual({ kind: 'other', what: expect.stringContaining(what) as string });
});

const SCRIPT = String.raw`--
-- PostgreSQL database dump
--

\restrict abc

-- Dumped from database version 17.10 (Debian 17.10-1)
-- Dumped by pg_dump version 18.6

-- Started on 2026-11-21 02:00:05 UTC

CREATE DATABASE shop WITH TEMPLATE = template0 ENCODING = 'UTF8' LOCALE_PROVIDER = libc LOCALE = 'de_DE.UTF-8';
ALTER DATABASE shop OWNER TO "the boss";
\connect shop
ALTER DATABASE shop SET work_mem TO '8MB';
CREATE EXTENSION IF NOT EXISTS "uuid-ossp" WITH SCHEMA public;
CREATE FUNCTION public.f() RETURNS text
    LANGUAGE plpgsql
    AS $_$ begin
COPY public.fake (id) FROM stdin;
GRANT ALL ON TABLE x TO ghost;
return $$it's$$; end $_$;
ALTER FUNCTION public.f() OWNER TO app;
COMMENT ON TABLE public.orders IS 'several
COPY public.fake (id) FROM stdin;
it''s -- no comment /* none */
';
/* a comment /* in a comment */
ALTER TABLE x OWNER TO ghost;
*/
CREATE TABLE public.orders (
    id integer DEFAULT E'it\'s',
    "a""b" text
);
COPY public.orders (id, "a""b") FROM stdin;
1	\\.
\N	x
\.

COPY public."Odd name" (id) FROM stdin;
7
\.

ALTER TABLE ONLY public.orders
    ADD CONSTRAINT old CHECK ((id > 0)) NOT VALID;
CREATE POLICY p ON public.orders FOR SELECT TO audit, "Odd role" USING (true);
GRANT SELECT,INSERT ON TABLE public.orders TO audit WITH GRANT OPTION;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
-- Completed on 2026-11-21 02:01:00 UTC

--
-- PostgreSQL database dump complete
--

\unrestrict abc

`;

function scan(text: string, cuts: readonly number[] = []): ScanFacts {
  const bytes = Buffer.from(text);
  const at = [0, ...cuts.map((cut) => cut % bytes.length), bytes.length].sort((a, b) => a - b);
  const scanner = createSqlScanner();
  for (let index = 1; index < at.length; index += 1) scanner.push(bytes.subarray(at[index - 1], at[index]));
  return scanner.end();
}

test('a script says what it needs and what it holds', () => {
  expect(scan(SCRIPT)).toEqual({
    kind: 'database',
    complete: true,
    rawBytes: Buffer.byteLength(SCRIPT),
    serverVersion: '17.10',
    toolVersion: '18.6',
    startedAt: '2026-11-21T02:00:05Z',
    createDatabase: expect.stringContaining('de_DE') as string,
    changesDatabase: true,
    rolesNeeded: ['Odd role', 'app', 'audit', 'the boss'],
    rolesMade: [],
    extensions: ['uuid-ossp'],
    databaseSettings: [
      'ALTER DATABASE {database} OWNER TO "the boss"',
      "ALTER DATABASE {database} SET work_mem TO '8MB'",
    ],
    notValidConstraints: 1,
    tables: 1,
    rows: 3,
    foreignCommand: null,
    rowsOf: new Map([
      [
        'shop',
        new Map([
          ['public.orders', 2],
          ['public."Odd name"', 1],
        ]),
      ],
    ]),
  });
});

test('it says the same wherever its chunks are cut', () => {
  const whole = scan(SCRIPT);
  fc.assert(
    fc.property(fc.array(fc.nat(), { maxLength: 30 }), (cuts) => {
      expect(scan(SCRIPT, cuts)).toEqual(whole);
    }),
  );
  const every = Array.from({ length: SCRIPT.length }, (_, index) => index);
  expect(scan(SCRIPT, every)).toEqual(whole);
});

test('a script that is cut off anywhere is not whole', () => {
  const end = SCRIPT.indexOf('-- PostgreSQL database dump complete');
  for (let at = 1; at <= end; at += 1) {
    if (scan(SCRIPT.slice(0, at)).complete) throw new Error(`whole at ${String(at)}`);
  }
});

test('the end of one database is not the end of a dump of the cluster', () => {
  const cluster = `--\n-- PostgreSQL database cluster dump\n--\nCREATE ROLE app;\n\\connect shop\n${SCRIPT}`;
  expect(scan(cluster)).toMatchObject({ kind: 'cluster', complete: false, rolesMade: ['app'] });
  expect(scan(`${cluster}--\n-- PostgreSQL database cluster dump complete\n--\n`).complete).toBe(true);
});

test.each([
  ['a shell command', '\\! touch /tmp/x', '\\! touch /tmp/x'],
  ['a shell command behind a statement', 'select 1 \\! touch /tmp/x', 'select 1 \\! touch /tmp/x'],
  ['a file that is read', '\\i /etc/passwd', '\\i /etc/passwd'],
  ['a query whose result is run', "select 'drop table t' \\gexec", "select 'drop table t' \\gexec"],
  ['a shell command in a connect', '\\connect `touch /tmp/x`', '\\connect `touch /tmp/x`'],
  ['a second command behind a connect', '\\connect shop \\! touch /tmp/x', '\\connect shop \\! touch /tmp/x'],
  ['a name with a line break in a comment', '-- Name: t\n\\! touch /tmp/x', '\\! touch /tmp/x'],
])('%s in a script is found: pg_dump never writes it', (_, line, found) => {
  expect(scan(`--\n-- PostgreSQL database dump\n--\n${line}\n`).foreignCommand).toBe(found);
});

test.each([
  ['connects', '\\connect shop'],
  ['connects with a connection string', `\\connect -reuse-previous=on "dbname='my shop'"`],
  ['keys against such commands', '\\restrict aZ09'],
  ['backslashes in strings', String.raw`select E'a\\n', 'C:\\dir';`],
  [
    'backslashes in bodies of functions',
    String.raw`create function f() returns text language sql as $$ select '\\d' $$;`,
  ],
  [
    'backslashes in rows',
    String.raw`COPY public.t (a) FROM stdin;
\! not a command
\.`,
  ],
])('%s are no such thing', (_, lines) => {
  expect(scan(`--\n-- PostgreSQL database dump\n--\n${lines}\n`).foreignCommand).toBeNull();
});

test('a row of any length is read without keeping it', () => {
  const row = 'x'.repeat(3_000_000);
  const text = `-- PostgreSQL database dump\nCOPY public.big (a) FROM stdin;\n${row}\n\\.\nINSERT INTO t VALUES ('${row}it''s');\n-- PostgreSQL database dump complete\n`;
  const cuts = Array.from({ length: 90 }, (_, index) => index * 65_536);
  expect(scan(text, cuts)).toMatchObject({ complete: true, rows: 1 });
});

test.each([
  ['COPY public.orders (id, "x)") FROM stdin;', 'public.orders'],
  ['COPY "A.b"."c""d" (id) FROM stdin;', '"A.b"."c""d"'],
  ['COPY public.empty  FROM stdin;', null],
  ['COPY public.empty FROM stdin;', 'public.empty'],
  ['COPY (select 1) TO stdout;', null],
])('the table of %s', (line, table) => {
  expect(copiedTable(line)).toBe(table);
});

test.each([
  ['ALTER TABLE public.x OWNER TO app;', ['app']],
  ['ALTER DEFAULT PRIVILEGES FOR ROLE a IN SCHEMA public GRANT SELECT ON TABLES TO b;', ['a', 'b']],
  ['GRANT app TO bob WITH INHERIT TRUE GRANTED BY postgres;', ['bob']],
  ['GRANT ALL ON SCHEMA public TO PUBLIC;', []],
  ["SET SESSION AUTHORIZATION 'x y';", ['x y']],
  ['CREATE USER MAPPING FOR app SERVER far;', ['app']],
  ['SELECT 1;', []],
])('roles of %s', (line, roles) => {
  expect(rolesNeeded(line)).toEqual(roles);
});

test('other statements', () => {
  expect(roleMade('CREATE ROLE "the boss";')).toBe('the boss');
  expect(extensionMade('CREATE EXTENSION IF NOT EXISTS pg_trgm WITH SCHEMA public;')).toBe('pg_trgm');
  expect(connectedDatabase('\\connect shop')).toBe('shop');
  expect(connectedDatabase(`\\connect -reuse-previous=on "dbname='odd name'"`)).toBe('odd name');
  expect(databaseStatement('GRANT CONNECT ON DATABASE shop TO app;')).toBe(
    'GRANT CONNECT ON DATABASE {database} TO app',
  );
  expect(databaseStatement('ALTER DATABASE shop RENAME TO other;')).toBeNull();
});

test('the header of an archive', () => {
  const text = `;
; Archive created at 2026-11-21 18:52:11 UTC
;     dbname: shop
;     TOC Entries: 20
;     Dumped from database version: 18.6 (Debian 18.6-1)
;     Dumped by pg_dump version: 18.6
;
254; 1255 16480 FUNCTION public f() postgres
`;
  expect(parseArchiveList(text)).toEqual({
    createdAt: '2026-11-21T18:52:11Z',
    database: 'shop',
    entries: 20,
    serverVersion: '18.6',
    toolVersion: '18.6',
  });
  expect(parseArchiveList('')).toMatchObject({ createdAt: null, entries: null });
});

test('the locale of a dump, of production, and of nobody', () => {
  const icu = `CREATE DATABASE x WITH TEMPLATE = template0 ENCODING = 'UTF8' LOCALE_PROVIDER = icu LC_COLLATE = 'de_DE.UTF-8' LC_CTYPE = 'C' ICU_LOCALE = 'de-DE';`;
  expect(localeOfCreateDatabase(icu)).toEqual({
    ...{ encoding: 'UTF8', provider: 'icu', collate: 'de_DE.UTF-8', ctype: 'C', locale: 'de-DE' },
  });
  const builtin = `CREATE DATABASE x WITH TEMPLATE = template0 ENCODING = 'UTF8' LOCALE_PROVIDER = builtin LOCALE = 'C' BUILTIN_LOCALE = 'C.UTF-8';`;
  expect(localeOfCreateDatabase(builtin)).toEqual({
    ...{ encoding: 'UTF8', provider: 'builtin', collate: 'C', ctype: 'C', locale: 'C.UTF-8' },
  });
  expect(localeOfCreateDatabase('CREATE DATABASE x WITH TEMPLATE = template0;')).toBeNull();
  expect(localeOf('LATIN1', { datcollate: 'de_DE', datctype: 'de_DE' })).toMatchObject({
    provider: 'libc',
    locale: null,
  });
  expect(localeOf('UTF8', { datlocprovider: 'i', datcollate: 'C', datctype: 'C', daticulocale: 'de' })).toMatchObject({
    ...{ provider: 'icu', locale: 'de' },
  });
  expect(chooseLocale(null, null, null)).toMatchObject({ from: 'nothing: a guess', warning: [expect.anything()] });
  const asked = chooseLocale({ encoding: 'LATIN1' }, null, localeOfCreateDatabase(builtin));
  expect(asked).toMatchObject({ locale: { encoding: 'LATIN1', provider: 'builtin' }, warning: [] });
});

test('a URL with a password is refused: it would stand in the history', () => {
  for (const url of ['postgresql://a:secret@h/d', 'postgresql://a@h/d?password=secret', 'http://h', 'shop']) {
    expect(() => {
      requireUrl(url);
    }).toThrow(/password|not a postgresql/);
    try {
      requireUrl(url);
    } catch (error) {
      expect(String(error)).not.toContain('secret');
    }
  }
  expect(() => {
    requireUrl('postgresql://a@h:25060/d?sslmode=require');
  }).not.toThrow();
});
