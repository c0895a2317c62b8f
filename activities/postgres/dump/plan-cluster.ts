/** Encoding and locale of the new cluster: as asked, as production has them, or as the dump says. */
import type pg from 'pg';

import type { ClusterLocale } from '../../../shared/contracts/dump.js';
import type { ActivityDeps } from '../../lib/deps.js';
import { environmentOf } from '../../lib/environment-config.js';
import { connectNode } from '../connection.js';

const QUICK = { connectTimeoutMs: 2_000, statementTimeoutMs: 5_000 };

/** What a primary that answers says of itself. */
export type LiveCluster = {
  node: string;
  systemIdentifier: string;
  postgresMajor: number;
  locale: ClusterLocale;
  walSegmentBytes: number;
  preloadLibraries: string[];
  databaseBytes: number;
  now: string;
  /** Null without track_commit_timestamp. */
  lastCommitAt: string | null;
};

export type LiveAnswer = { live: LiveCluster | null; warnings: string[] };

/**
 * The first node that answers as a primary, null when none does. Of a node that does not answer nothing is known, and that is said: production may
 * still be there.
 */
export async function readLiveCluster(
  deps: Pick<ActivityDeps, 'config' | 'resolveSecret'>,
  environmentName: string,
): Promise<LiveAnswer> {
  const { nodes } = environmentOf(deps.config, environmentName);
  const warnings: string[] = [];
  const answers = await Promise.all(
    nodes.map(({ name }) =>
      connectNode(deps, environmentName, name, QUICK, (client) => readCluster(client, name)).catch((error: unknown) => {
        warnings.push(`${name} does not answer: ${error instanceof Error ? error.message : String(error)}`);
        return null;
      }),
    ),
  );
  return { live: answers.find((answer) => answer !== null) ?? null, warnings: warnings.sort() };
}

type Row = {
  recovering: boolean;
  systemIdentifier: string;
  version: number;
  encoding: string;
  facts: Record<string, unknown>;
  walSegmentBytes: string;
  preload: string;
  bytes: string;
  now: string;
};

async function readCluster(client: pg.Client, node: string): Promise<LiveCluster | null> {
  const iso = (value: string): string => `to_char(${value} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')`;
  const { rows } = await client.query<Row>(
    `select pg_is_in_recovery() as recovering, current_setting('server_version_num')::int as version,
            (select system_identifier::text from pg_control_system()) as "systemIdentifier",
            pg_encoding_to_char(encoding) as encoding, to_jsonb(d) as facts,
            (select setting from pg_settings where name = 'wal_segment_size') as "walSegmentBytes",
            current_setting('shared_preload_libraries') as preload, pg_database_size(oid)::text as bytes,
            ${iso('clock_timestamp()')} as now
       from pg_database d where datname = current_database()`,
  );
  const row = rows[0];
  if (row === undefined || row.recovering) return null;
  const commit = await client
    .query<{ at: string }>(`select ${iso('timestamp')} as at from pg_last_committed_xact()`)
    .catch(() => null);
  return {
    node,
    systemIdentifier: row.systemIdentifier,
    postgresMajor: Math.floor(row.version / 10_000),
    locale: localeOf(row.encoding, row.facts),
    walSegmentBytes: Number(row.walSegmentBytes),
    preloadLibraries: row.preload
      .split(',')
      .map((name) => name.trim())
      .filter((name) => name !== ''),
    databaseBytes: Number(row.bytes),
    now: row.now,
    lastCommitAt: commit?.rows[0]?.at ?? null,
  };
}

/** Columns of pg_database by major: datlocprovider since 15, the name of the locale is daticulocale to 16 and datlocale from 17 on. */
export function localeOf(encoding: string, facts: Readonly<Record<string, unknown>>): ClusterLocale {
  const text = (name: string): string | null => (typeof facts[name] === 'string' ? facts[name] : null);
  const providers = { c: 'libc', i: 'icu', b: 'builtin' } as const;
  const provider = providers[(text('datlocprovider') ?? 'c') as keyof typeof providers];
  return {
    encoding,
    provider,
    collate: text('datcollate') ?? 'C',
    ctype: text('datctype') ?? 'C',
    locale: provider === 'libc' ? null : (text('datlocale') ?? text('daticulocale')),
  };
}

/** The locale in a `CREATE DATABASE` of a dump; null when it says none. Its names are those of the host where it was taken. */
export function localeOfCreateDatabase(line: string | null): ClusterLocale | null {
  if (line === null) return null;
  const value = (name: string): string | null =>
    new RegExp(String.raw`\b${name} = (?:'((?:[^']|'')*)'|(\w+))`)
      .exec(line)
      ?.slice(1)
      .find((one) => one) ?? null;
  const encoding = value('ENCODING');
  if (encoding === null) return null;
  const provider = value('LOCALE_PROVIDER');
  const both = new RegExp(String.raw`[^_]LOCALE = '([^']*)'`).exec(line)?.[1] ?? null;
  return {
    encoding,
    provider: provider === 'icu' || provider === 'builtin' ? provider : 'libc',
    collate: value('LC_COLLATE') ?? both ?? 'C',
    ctype: value('LC_CTYPE') ?? both ?? 'C',
    locale: value('ICU_LOCALE') ?? value('BUILTIN_LOCALE'),
  };
}

/** What a cluster gets when nobody can say what production had. */
const LAST_RESORT: ClusterLocale = {
  encoding: 'UTF8',
  provider: 'libc',
  collate: 'C.UTF-8',
  ctype: 'C.UTF-8',
  locale: null,
};

/** The locale to use and where it is from; flags win over production, production over the dump. */
export function chooseLocale(
  asked: Partial<ClusterLocale> | null,
  live: LiveCluster | null,
  fromDump: ClusterLocale | null,
): { locale: ClusterLocale; from: string; warning: string[] } {
  const known = live?.locale ?? fromDump;
  const from = live !== null ? `primary ${live.node}` : fromDump !== null ? 'the dump' : 'nothing: a guess';
  const locale = { ...(known ?? LAST_RESORT), ...asked };
  if (asked !== null) return { locale, from: `the command line over ${from}`, warning: [] };
  const warning =
    known === null
      ? [
          `neither a primary nor the dump says encoding and locale: ${describeLocale(locale)} is a guess (--encoding, --locale)`,
        ]
      : [];
  return { locale, from, warning };
}

/** One line for people. */
function describeLocale({ encoding, provider, collate, ctype, locale }: ClusterLocale): string {
  const names = locale === null ? (collate === ctype ? collate : `${collate}/${ctype}`) : `${locale} (${collate})`;
  return `${encoding}, ${provider} ${names}`;
}
