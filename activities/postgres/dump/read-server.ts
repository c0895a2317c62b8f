/** What a server says that is dumped now. Asked with psql, so that everything libpq understands in a URL (sslmode, services) holds here too. */
import path from 'node:path';

import type { ClusterLocale } from '../../../shared/contracts/dump.js';
import { runProgram } from '../../lib/exec.js';
import { maskSecrets } from '../../lib/exec-secrets.js';
import { stepFailure } from '../../lib/failure.js';
import { localeOf } from './plan-cluster.js';

export type SourceServer = {
  serverVersion: string;
  postgresMajor: number;
  database: string;
  bytes: number;
  locale: ClusterLocale;
  extensions: string[];
  tables: number;
  systemIdentifier: string | null;
  now: string;
};

const CONNECT_TIMEOUT_S = '10';

/** Throws BadUsage for a URL that is none, or that carries a password: it would stand in the history of the run. */
export function requireUrl(url: string): void {
  const parsed = URL.canParse(url) ? new URL(url) : null;
  if (parsed === null || !/^postgres(ql)?:$/.test(parsed.protocol)) {
    throw stepFailure('BadUsage', 'the source is not a postgresql:// URL');
  }
  if (parsed.password === '' && !parsed.searchParams.has('password')) return;
  throw stepFailure('BadUsage', 'the URL of the source carries a password', {
    hint: 'give the password as a reference: --password env:NAME, file:/path or op://vault/item/field',
  });
}

/** Environment of the programs that read the source: nothing can be written there, and a dead host is not waited for. */
export function sourceEnvironment(password: string | null): Record<string, string> {
  return {
    PGOPTIONS: '-c default_transaction_read_only=on',
    PGCONNECT_TIMEOUT: CONNECT_TIMEOUT_S,
    PGAPPNAME: 'pgr restore-dump',
    ...(password === null ? {} : { PGPASSWORD: password }),
  };
}

const QUESTION = `select json_build_object(
  'serverVersion', current_setting('server_version'), 'number', current_setting('server_version_num')::int,
  'encoding', pg_encoding_to_char(encoding), 'facts', to_jsonb(d), 'database', datname,
  'bytes', pg_database_size(oid),
  'extensions', (select coalesce(json_agg(extname order by extname), '[]') from pg_extension),
  'tables', (select count(*) from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where relkind = 'r' and nspname !~ '^pg_' and nspname <> 'information_schema'),
  'now', to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'))
  from pg_database d where datname = current_database()`;
const IDENTITY = 'select system_identifier from pg_control_system()';

/** Asks the server. Throws CredentialsRefused, DatabaseUnavailable, CommandFailed. */
export async function readSourceServer(binDir: string, url: string, password: string | null): Promise<SourceServer> {
  const ask = (sql: string): ReturnType<typeof runProgram> =>
    runProgram(path.join(binDir, 'psql'), ['--no-psqlrc', '--no-password', '-Atq', `--dbname=${url}`, '-c', sql], {
      env: sourceEnvironment(password),
    });
  const answer = await ask(QUESTION);
  if (answer.exitCode !== 0) throw sourceFailure(answer.stderr, password);
  const row = JSON.parse(answer.stdout) as Omit<SourceServer, 'locale' | 'postgresMajor'> & {
    number: number;
    encoding: string;
    facts: Record<string, unknown>;
  };
  // Managed servers do not tell everybody.
  const identity = await ask(IDENTITY);
  const { number, encoding, facts, ...rest } = row;
  return {
    ...rest,
    serverVersion: rest.serverVersion.split(' ')[0] ?? rest.serverVersion,
    postgresMajor: Math.floor(number / 10_000),
    locale: localeOf(encoding, facts),
    systemIdentifier: identity.exitCode === 0 ? identity.stdout.trim() : null,
  };
}

/** What psql or pg_dump said of a connection that did not come to be. */
export function sourceFailure(stderr: string, password: string | null): Error {
  const lines = maskSecrets(stderr, password === null ? {} : { PASSWORD: password })
    .trim()
    .split('\n');
  // Hints follow the line that says what it is.
  const said = lines.find((line) => /error:|FATAL/.test(line)) ?? lines[0] ?? '';
  if (/password authentication failed|no password supplied|no pg_hba\.conf entry|role ".*" does not exist/.test(said)) {
    return stepFailure('CredentialsRefused', `the source refuses the login: ${said}`, {
      hint: 'check user and password of the source (--password names a secret reference); nothing was made',
    });
  }
  if (/could not connect|connection to server|could not translate|timeout expired|server closed/.test(said)) {
    return stepFailure('DatabaseUnavailable', `the source does not answer: ${said}`);
  }
  return stepFailure('CommandFailed', `the source cannot be read: ${said}`, { hint: 'nothing was made' });
}
