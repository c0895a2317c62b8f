/** The part of the plan that the source tells: a file is read through, a server is asked. */
import type { ClusterLocale, DumpFacts, DumpPlan, PlanDumpInput } from '../../../shared/contracts/dump.js';
import type { ActivityDeps } from '../../lib/deps.js';
import { stepFailure } from '../../lib/failure.js';
import type { ArchiveHeader } from './archive-list.js';
import { localeOfCreateDatabase } from './plan-cluster.js';
import { identifyDump, readArchiveHeader, scanDump, type DumpFile } from './read-dump.js';
import { readSourceServer, requireUrl } from './read-server.js';
import type { ScanFacts } from './sql-scan.js';

export type Source = {
  dump: DumpFacts;
  rolesNeeded: string[];
  rolesMade: string[];
  extensions: string[];
  databaseSettings: string[];
  notValidConstraints: number;
  tableRows: DumpPlan['tableRows'];
  locale: ClusterLocale | null;
  /** Bytes that the database will take, as far as it can be told. */
  databaseBytes: number;
  warnings: string[];
};

/** A file header that is this much older than the file itself may be in another zone than UTC. */
const ZONE_DOUBT_MS = 15 * 60_000;
/** Indexes and page headers on top of the rows; and how much an archive shrinks them when nobody read it. */
const FILE_TO_DATABASE = 1.6;
const ARCHIVE_TO_SQL = 6;
/** What goes into a plan goes into histories. */
const MOST_TABLES = 300;

export async function readSource(
  deps: Pick<ActivityDeps, 'resolveSecret'>,
  binDir: string,
  input: PlanDumpInput,
  { ownership, database }: { ownership: DumpPlan['ownership']; database: string },
): Promise<Source> {
  const { source } = input;
  if (source.kind === 'server') return serverSource(deps, binDir, source);
  const file = await identifyDump(source.path);
  return fileSource(binDir, file, { quick: input.quick, ownership, database });
}

async function serverSource(
  deps: Pick<ActivityDeps, 'resolveSecret'>,
  binDir: string,
  { url, password: reference }: { url: string; password: string | null },
): Promise<Source> {
  requireUrl(url);
  const password = reference === null ? null : await deps.resolveSecret(reference);
  const server = await readSourceServer(binDir, url, password);
  return {
    dump: {
      format: 'directory',
      compression: 'none',
      changesDatabase: false,
      bytes: server.bytes,
      rawBytes: null,
      modifiedAt: null,
      takenAt: server.now,
      takenAtFrom: 'now',
      serverVersion: server.serverVersion,
      toolVersion: null,
      database: server.database,
      tables: server.tables,
      rows: null,
    },
    rolesNeeded: [],
    rolesMade: [],
    extensions: server.extensions.filter((name) => name !== 'plpgsql'),
    databaseSettings: [],
    notValidConstraints: 0,
    tableRows: null,
    locale: server.locale,
    databaseBytes: server.bytes,
    warnings: ['the source goes on: what is committed there after the dump begins is not in it'],
  };
}

async function fileSource(
  binDir: string,
  file: DumpFile,
  { quick, ownership, database }: { quick: boolean; ownership: DumpPlan['ownership']; database: string },
): Promise<Source> {
  const header = file.format === 'plain' ? null : await readArchiveHeader(binDir, file.path);
  const schemaOnly = quick && header !== null;
  const scan = await scanDump(binDir, file, { ownership, schemaOnly });
  requireDump(file, scan, header === null);
  const isScript = header === null && scan.changesDatabase;
  const taken = takenAt(file, header === null ? scan.startedAt : header.createdAt);
  const readBytes = schemaOnly ? file.bytes * ARCHIVE_TO_SQL : scan.rawBytes;
  return {
    dump: {
      ...taken,
      ...dumpFacts(file, header, scan),
      changesDatabase: isScript,
      rawBytes: schemaOnly ? null : scan.rawBytes,
      rows: schemaOnly ? null : scan.rows,
    },
    ...needsOf(scan),
    databaseSettings: isScript ? [] : scan.databaseSettings,
    tableRows: schemaOnly ? null : largestTables(scan, isScript ? database : null),
    locale: localeOfCreateDatabase(scan.createDatabase),
    databaseBytes: Math.ceil(readBytes * FILE_TO_DATABASE),
    warnings: sourceWarnings(file, scan, taken, schemaOnly),
  };
}

/** Throws BackupCorrupt for what is no dump, PreconditionFailed for a script that psql would be told more by than pg_dump tells. */
function requireDump(file: DumpFile, scan: ScanFacts, plain: boolean): void {
  if (scan.kind === 'unknown') {
    throw stepFailure('BackupCorrupt', `${file.path} is not a dump of pg_dump or pg_dumpall`);
  }
  if (!plain || scan.foreignCommand === null) return;
  throw stepFailure(
    'PreconditionFailed',
    `${file.path} has a command to psql that pg_dump does not write: ${scan.foreignCommand}`,
    {
      hint: 'it could run programs on this host: look at where the file comes from; take the line out when it is harmless',
    },
  );
}

function dumpFacts(
  { format, compression, bytes, modifiedAt }: DumpFile,
  header: ArchiveHeader | null,
  scan: ScanFacts,
): Pick<
  DumpFacts,
  'format' | 'compression' | 'bytes' | 'modifiedAt' | 'serverVersion' | 'toolVersion' | 'database' | 'tables'
> {
  return {
    format,
    compression,
    bytes,
    modifiedAt,
    serverVersion: header?.serverVersion ?? scan.serverVersion,
    toolVersion: header?.toolVersion ?? scan.toolVersion,
    database: header?.database ?? null,
    tables: scan.tables,
  };
}

/** plpgsql is in every cluster. */
function needsOf({
  rolesNeeded,
  rolesMade,
  extensions,
  notValidConstraints,
}: ScanFacts): Pick<Source, 'rolesNeeded' | 'rolesMade' | 'extensions' | 'notValidConstraints'> {
  return {
    rolesNeeded,
    rolesMade,
    extensions: extensions.filter((name) => name !== 'plpgsql'),
    notValidConstraints,
  };
}

/** Tables of the database that the environment uses; of a script for one database that is all there are. */
function largestTables({ rowsOf }: ScanFacts, database: string | null): { table: string; rows: number }[] {
  const maps = database === null ? [...rowsOf.values()] : [rowsOf.get(database) ?? new Map<string, number>()];
  const tables = maps.flatMap((map) => [...map].map(([table, rows]) => ({ table, rows })));
  return tables.sort((a, b) => b.rows - a.rows || (a.table < b.table ? -1 : 1)).slice(0, MOST_TABLES);
}

/** pg_dump writes the time at which it began, as the clock on its wall: without a zone. A script says none unless it was verbose. */
function takenAt(file: DumpFile, said: string | null): Pick<DumpFacts, 'takenAt' | 'takenAtFrom'> {
  if (said !== null) return { takenAt: said, takenAtFrom: 'archive' };
  return { takenAt: file.modifiedAt, takenAtFrom: 'file' };
}

function sourceWarnings(
  file: DumpFile,
  scan: ScanFacts,
  taken: Pick<DumpFacts, 'takenAt' | 'takenAtFrom'>,
  schemaOnly: boolean,
): string[] {
  const warnings: string[] = [];
  const apartMs = Math.abs(Date.parse(file.modifiedAt) - Date.parse(taken.takenAt));
  if (taken.takenAtFrom === 'archive' && apartMs > ZONE_DOUBT_MS) {
    warnings.push(
      `the dump says that it began at ${taken.takenAt}, without a zone (read as UTC); the file was last written at ${file.modifiedAt}`,
    );
  }
  if (taken.takenAtFrom === 'file') {
    warnings.push(
      `the dump does not say when it was taken: ${taken.takenAt} is when the file was last written, it began before that (a copy may be newer)`,
    );
  }
  if (schemaOnly)
    warnings.push('the data of the dump were not read (--quick): damage in them shows only while it is restored');
  if (scan.kind === 'cluster') {
    warnings.push('a dump of a whole cluster: all of its databases are restored, statement by statement');
  }
  return warnings;
}
