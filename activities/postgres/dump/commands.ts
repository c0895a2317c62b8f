/** Argument arrays of the programs that restore a dump. Pure; no password is ever in them. */
import type { ClusterLocale, DumpFormat, DumpPlan } from '../../../shared/contracts/dump.js';

export type Server = { socketDir: string; port: number; user: string };

/** `initdb` of a cluster with the locale of production. Not synced: nothing of a sandbox is, before it is handed over. */
export function initdbArgs(dataDir: string, user: string, cluster: DumpPlan['cluster']): string[] {
  const { locale, walSegmentBytes } = cluster;
  return [
    `--pgdata=${dataDir}`,
    `--username=${user}`,
    '--auth=trust',
    '--data-checksums',
    '--no-sync',
    '--no-instructions',
    '--lc-messages=C',
    `--wal-segsize=${String(walSegmentBytes / 1024 / 1024)}`,
    `--encoding=${locale.encoding}`,
    ...localeArgs(locale),
  ];
}

function localeArgs({ provider, collate, ctype, locale }: ClusterLocale): string[] {
  const both = [`--lc-collate=${collate}`, `--lc-ctype=${ctype}`];
  if (provider === 'icu') return [...both, '--locale-provider=icu', `--icu-locale=${locale ?? 'und'}`];
  if (provider === 'builtin') return [...both, '--locale-provider=builtin', `--builtin-locale=${locale ?? 'C'}`];
  // Before 15 there is no such option, and no other provider for a whole database.
  return both;
}

/** Reads the table of contents of an archive. */
export function listArgs(file: string): string[] {
  return ['--list', file];
}

/** An archive as SQL on standard output, as the restore would run it. */
export function archiveAsSqlArgs(file: string, ownership: DumpPlan['ownership'], schemaOnly: boolean): string[] {
  return ['--create', '--file=-', ...ownershipArgs(ownership), ...(schemaOnly ? ['--schema-only'] : []), file];
}

function ownershipArgs(ownership: DumpPlan['ownership']): string[] {
  return ownership === 'left-out' ? ['--no-owner', '--no-privileges'] : [];
}

/** Restores an archive into `database`. A tar can be read from its start to its end only, so it has no jobs. */
export function restoreArgs(
  server: Server,
  restore: { file: string; format: DumpFormat; database: string; jobs: number; ownership: DumpPlan['ownership'] },
): string[] {
  const jobs = restore.format === 'tar' ? [] : [`--jobs=${String(restore.jobs)}`];
  return [
    ...serverArgs(server),
    `--dbname=${restore.database}`,
    ...jobs,
    ...ownershipArgs(restore.ownership),
    restore.file,
  ];
}

/**
 * Runs a script from standard input. Messages are terse, without the rows they are about. `whole`: all of it or nothing; a script that goes from
 * database to database cannot be one transaction, and begins with roles that are there already.
 */
export function psqlArgs(server: Server, database: string, whole: boolean): string[] {
  return [
    '--no-psqlrc',
    '--quiet',
    ...serverArgs(server),
    `--dbname=${database}`,
    '--set=VERBOSITY=terse',
    '--set=SHOW_CONTEXT=never',
    ...(whole ? ['--set=ON_ERROR_STOP=1', '--single-transaction'] : []),
    '--output=/dev/null',
    '--file=-',
  ];
}

/** Fresh statistics: a dump brings none (before 18), and without them every query is planned blindly. */
export function analyzeArgs(server: Server, jobs: number): string[] {
  return [...serverArgs(server), '--all', '--analyze-only', '--quiet', `--jobs=${String(jobs)}`];
}

function serverArgs({ socketDir, port, user }: Server): string[] {
  return [`--host=${socketDir}`, `--port=${String(port)}`, `--username=${user}`, '--no-password'];
}

/** Dumps another server into a directory, with as many sessions as jobs. The URL carries no password. */
export function dumpServerArgs(url: string, dir: string, jobs: number): string[] {
  return [
    `--dbname=${url}`,
    '--no-password',
    '--format=directory',
    `--file=${dir}`,
    `--jobs=${String(jobs)}`,
    '--lock-wait-timeout=60s',
  ];
}

/** The program that writes the content of a compressed file to standard output. */
export function decompressCommand(compression: 'gzip' | 'zstd' | 'lz4', file: string): [string, string[]] {
  return compression === 'lz4' ? ['lz4', ['-dc', '-q', file]] : [compression, ['-dcq', '--', file]];
}
