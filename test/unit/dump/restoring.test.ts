/**
 * Scenario: programs of PostgreSQL restore a dump.
 * Verified: 1 their arguments; 2 every error is counted and none shows a row; 3 what a person is told to do.
 */
import {
  analyzeArgs,
  archiveAsSqlArgs,
  decompressCommand,
  dumpServerArgs,
  initdbArgs,
  psqlArgs,
  restoreArgs,
} from '../../../activities/postgres/dump/commands.js';
import { rowsOfDumpCheck } from '../../../activities/postgres/dump/check-content.js';
import { errorsCheck, identityCheck } from '../../../activities/postgres/dump/check-restore.js';
import { handOverCommands } from '../../../activities/postgres/dump/hand-over-commands.js';
import { sourceFailure } from '../../../activities/postgres/dump/read-server.js';
import { cameToItsEnd, errorOf } from '../../../activities/postgres/dump/restore-errors.js';
import type { EnvironmentConfig, NodeConfig } from '../../../config/schema.js';
import type { RestoreDumpResult } from '../../../shared/contracts/dump.js';
import { keptCommands } from '../../../shared/dump-commands.js';
import { dumpPlanView } from '../../../shared/run-state-dump.js';
import { dumpPlan } from '../../support/stub-dump.js';

const server = { socketDir: '/tmp/pgr-1', port: 15_400, user: 'postgres' };
const connection = ['--host=/tmp/pgr-1', '--port=15400', '--username=postgres', '--no-password'];
const plan = dumpPlan({
  ...{ environment: 'shop', host: 'dallas', source: { kind: 'file', path: '/b/shop.dump' }, globals: null },
  ...{ jobs: null, locale: null, quick: false },
});

test('a new cluster gets the locale of production', () => {
  const args = (locale: Partial<typeof plan.cluster.locale>): string[] =>
    initdbArgs('/s/data', 'postgres', { ...plan.cluster, locale: { ...plan.cluster.locale, ...locale } });
  expect(args({})).toEqual([
    ...['--pgdata=/s/data', '--username=postgres', '--auth=trust', '--data-checksums', '--no-sync'],
    ...['--no-instructions', '--lc-messages=C', '--wal-segsize=16', '--encoding=UTF8'],
    ...['--lc-collate=C.UTF-8', '--lc-ctype=C.UTF-8'],
  ]);
  expect(args({ provider: 'icu', locale: 'de' })).toEqual(expect.arrayContaining(['--icu-locale=de']));
  expect(args({ provider: 'builtin', locale: 'C' })).toEqual(expect.arrayContaining(['--builtin-locale=C']));
});

test('an archive is restored with jobs, a tar without; owners are kept or left out', () => {
  const restore = { file: '/b/x', database: 'shop', jobs: 4 };
  expect(restoreArgs(server, { ...restore, format: 'custom', ownership: 'left-out' })).toEqual([
    ...connection,
    ...['--dbname=shop', '--jobs=4', '--no-owner', '--no-privileges', '/b/x'],
  ]);
  expect(restoreArgs(server, { ...restore, format: 'tar', ownership: 'kept' })).toEqual([
    ...connection,
    ...['--dbname=shop', '/b/x'],
  ]);
  expect(archiveAsSqlArgs('/b/x', 'left-out', true)).toEqual([
    ...['--create', '--file=-', '--no-owner', '--no-privileges', '--schema-only', '/b/x'],
  ]);
});

test('a script is one transaction, unless it goes from database to database', () => {
  expect(psqlArgs(server, 'shop', true)).toEqual(
    expect.arrayContaining(['--single-transaction', '--set=ON_ERROR_STOP=1']),
  );
  expect(psqlArgs(server, 'postgres', false).join(' ')).not.toMatch(/single|ON_ERROR_STOP/);
  expect(decompressCommand('gzip', '-x.gz')).toEqual(['gzip', ['-dcq', '--', '-x.gz']]);
  expect(decompressCommand('lz4', '/x.lz4')).toEqual(['lz4', ['-dc', '-q', '/x.lz4']]);
  expect(analyzeArgs(server, 2)).toEqual([...connection, '--all', '--analyze-only', '--quiet', '--jobs=2']);
  expect(dumpServerArgs('postgresql://h/d', '/s/dump', 2).join(' ')).not.toContain('PASSWORD');
});

test.each([
  ['psql:<stdin>:12: ERROR:  relation "x" does not exist', { message: 'relation "x" does not exist', harmless: false }],
  [
    'psql:<stdin>:3: ERROR:  role "postgres" already exists',
    { message: 'role "postgres" already exists', harmless: true },
  ],
  [
    'pg_restore: error: could not execute query: ERROR:  role "a" does not exist',
    { message: 'role "a" does not exist', harmless: false },
  ],
  [
    'pg_restore: error: COPY failed for table "orders": ERROR:  duplicate key value violates unique constraint "k"',
    { message: 'table orders: duplicate key value violates unique constraint "k"', harmless: false },
  ],
  [
    'pg_restore: error: could not read from input file: end of file',
    { message: 'could not read from input file: end of file', harmless: false },
  ],
  [
    'psql: error: connection to server on socket failed: FATAL:  the database system is shutting down',
    { message: 'the database system is shutting down', harmless: false },
  ],
  ['DETAIL:  Key (email)=(secret@example.com) already exists.', null],
  ['CONTEXT:  COPY orders, line 1: "secret"', null],
  ['Command was: INSERT INTO x VALUES (1)', null],
  ['pg_restore: warning: errors ignored on restore: 2', null],
])('%s', (line, error) => {
  expect(errorOf(line)).toEqual(error);
});

test('a restore came to its end only when it says so', () => {
  expect(cameToItsEnd(0, [])).toBe(true);
  expect(cameToItsEnd(1, ['pg_restore: warning: errors ignored on restore: 2'])).toBe(true);
  expect(cameToItsEnd(1, ['pg_restore: error: could not read from input file: end of file'])).toBe(false);
  expect(cameToItsEnd(null, ['pg_restore: warning: errors ignored on restore: 2'])).toBe(false);
});

const result: RestoreDumpResult = {
  ...{ outcome: 'restored', bytes: 1, seconds: 1, analyzeSeconds: 1, takenAt: '', attempt: 1 },
  ...{ errors: [], errorCount: 0, harmlessCount: 0 },
};

test('errors are never passed over in silence', () => {
  expect(errorsCheck(null)).toMatchObject({ ok: false, actual: expect.stringContaining('unknown') as string });
  expect(errorsCheck(result)).toMatchObject({ ok: true, actual: 'no errors' });
  const harmless = { message: 'role "postgres" already exists', harmless: true };
  expect(errorsCheck({ ...result, errors: [harmless], errorCount: 1, harmlessCount: 1 })).toMatchObject({
    ...{ ok: true, actual: 'no errors, 1 harmless', note: 'harmless: role "postgres" already exists' },
  });
  const bad = { message: 'x', harmless: false };
  expect(errorsCheck({ ...result, errors: [harmless, bad], errorCount: 3, harmlessCount: 1 })).toMatchObject({
    ...{ ok: false, actual: '2 errors: x' },
  });
  expect(identityCheck('1', { ...plan, replaces: '1' }).ok).toBe(false);
});

test('rows that did not arrive are named; nothing read is not "all there"', () => {
  const counts = [{ table: 'public.orders', sandbox: 34_566, production: null }];
  expect(rowsOfDumpCheck(plan, counts)).toMatchObject({ ok: false, actual: 'public.orders has 34566 of 34567' });
  expect(rowsOfDumpCheck({ ...plan, tableRows: null }, counts).actual).toContain('not compared');
  expect(rowsOfDumpCheck(plan, []).note).toBe('1 tables of the dump were not counted');
});

test('what a source said never shows its password', () => {
  const said = sourceFailure('psql: error: FATAL: password authentication failed for user "x" (hunter22)', 'hunter22');
  expect(said).toMatchObject({ type: 'CredentialsRefused' });
  expect(said.message).not.toContain('hunter22');
  expect(sourceFailure('connection to server at "h" failed: timeout expired', null)).toMatchObject({
    type: 'DatabaseUnavailable',
  });
});

test('the plan says what is lost, and what nobody can say', () => {
  const text = dumpPlanView(plan).summary.join('\n');
  expect(text).toContain(
    'LOST: everything committed after 2026-11-21T02:00:00Z, 1 h 42 min until 2026-11-21T03:42:29Z',
  );
  expect(text).toContain('shares no archive, backup or standby with production');
  const unknown = {
    since: '2026-11-21T02:00:00Z',
    until: null,
    untilFrom: 'nothing is left to tell it',
    seconds: null,
  };
  expect(dumpPlanView({ ...plan, lost: unknown }).summary.join('\n')).toContain(
    'until when, nothing is left to tell it',
  );
});

test('the commands that put it into production come in order, and the archive before the start', () => {
  const node = {
    ...{ name: 'dallas', host: 'dallas', dataDir: '/srv/pg data', binDir: '/usr/lib/postgresql/18/bin' },
    ...{
      runtime: { kind: 'systemd', unit: 'postgresql@18-main.service', sudo: false },
      address: '10.0.0.1',
      port: 5432,
    },
    snapshot: { kind: 'directory' },
  } as NodeConfig;
  const environment = {
    apps: [],
    postgres: { user: 'postgres' },
    nodes: [node, { ...node, name: 'chicago' }],
  } as unknown as EnvironmentConfig;
  const commands = handOverCommands('shop', environment, node, '/srv/sandboxes/x/data');
  const at = (text: string): number => commands.findIndex((command) => command.includes(text));
  expect(at('systemctl stop')).toBeLessThan(at('.before-dump'));
  expect(commands).toContain("mv /srv/sandboxes/x/data '/srv/pg data'");
  expect(at('another prefix')).toBeLessThan(at('reset archive_mode'));
  expect(at('reset archive_mode')).toBeLessThan(at('pgr take-base shop'));
  expect(at('standby chicago')).toBe(commands.length - 1);
  expect(keptCommands(plan, 'postgresql://h/d?x=1', 'shop/restore-dump/1').join('\n')).toContain(
    "psql 'postgresql://h/d?x=1'",
  );
});
