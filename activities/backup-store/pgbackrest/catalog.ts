/** The bases of a stanza, in the form in which everything else reads the bases of a store. Pure. */
import { parseSegmentName, segmentName, DEFAULT_WAL_SEGMENT_BYTES } from '../../../shared/timeline.js';
import { segmentNumberOf } from '../../../shared/timeline.js';
import type { BaseHeader } from '../base-catalog.js';
import type { InfoBackup, StanzaInfo } from './info.js';

export type PgbackrestBase = { header: BaseHeader; repo: number };

/** A folder of archived WAL: `archive/<stanza>/<id>` of a repository. */
export type ArchiveFolder = { repo: number; id: string };

export type Catalog = {
  bases: PgbackrestBase[];
  /** Whose WAL is looked at; null when the stanza knows no cluster. */
  systemIdentifier: string | null;
  archives: ArchiveFolder[];
  /** What is there and cannot be used, or is worth knowing, one sentence each. */
  notes: string[];
};

/** PostgreSQL's defaults: `info` does not say more, the sandbox reads the real ones from pg_control of the restored base. */
const DEFAULT_SETTINGS: BaseHeader['settings'] = {
  maxConnections: 100,
  maxWorkerProcesses: 8,
  maxWalSenders: 10,
  maxPreparedTransactions: 0,
  maxLocksPerTransaction: 64,
};
/** pgBackRest checks the files of a base against its own manifest. */
const NO_DIGEST = '0'.repeat(64);

type Database = StanzaInfo['db'][number];

/** Bases and archives. `wanted` is the cluster whose WAL is read; without it the one that the stanza serves now. */
export function readCatalog(info: StanzaInfo, wanted: string | null): Catalog {
  const notes: string[] = [];
  const bases = new Map<string, PgbackrestBase>();
  for (const backup of info.backup) {
    const read = baseOf(info, backup);
    if (typeof read === 'string') notes.push(read);
    // The same base in a second repository is the same base.
    else if (!bases.has(backup.label)) bases.set(backup.label, { header: read, repo: backup.database['repo-key'] });
    if (backup.error === true) {
      notes.push(
        `base ${backup.label} has pages with wrong checksums: \`pgbackrest info --set=${backup.label}\` names them`,
      );
    }
  }
  const systemIdentifier = wanted ?? currentSystem(info);
  return { bases: [...bases.values()], systemIdentifier, archives: archivesOf(info, systemIdentifier), notes };
}

/** The cluster that the stanza was made or upgraded for last. */
function currentSystem({ db }: StanzaInfo): string | null {
  const [first] = db;
  const own = db.filter((one) => one['repo-key'] === first?.['repo-key']);
  return (
    own.reduce<Database | null>((best, one) => (best === null || one.id > best.id ? one : best), null)?.['system-id'] ??
    null
  );
}

function archivesOf(info: StanzaInfo, systemIdentifier: string | null): ArchiveFolder[] {
  return info.archive
    .filter(({ database }) => databaseOf(info, database)?.['system-id'] === systemIdentifier)
    .map(({ id, database }) => ({ id, repo: database['repo-key'] }));
}

function databaseOf({ db }: StanzaInfo, ref: InfoBackup['database']): Database | undefined {
  return db.find((one) => one.id === ref.id && one['repo-key'] === ref['repo-key']);
}

/** A sentence when there is no way to use it. */
function baseOf(info: StanzaInfo, backup: InfoBackup): BaseHeader | string {
  const { label, lsn, archive, timestamp } = backup;
  const unusable = (why: string): string => `base ${label} is not used: ${why}`;
  const database = databaseOf(info, backup.database);
  if (database === undefined) return unusable('info does not say of which cluster it is');
  if (lsn === null || lsn === undefined) return unusable('info does not say where it begins and ends');
  const timeline = parseSegmentName(archive.start ?? '')?.timeline;
  if (timeline === undefined) return unusable('info does not say which wal it needs');
  const postgresMajor = Number.parseInt(database.version, 10);
  if (!(postgresMajor >= 10)) return unusable(`it is of PostgreSQL ${database.version}`);
  const rawBytes = backup.info.size;
  return {
    api: 1,
    id: label,
    // pgBackRest puts a differential or incremental one together by itself, so for us each is whole.
    kind: 'full',
    systemIdentifier: database['system-id'],
    postgresMajor,
    postgresVersion: database.version,
    walSegmentBytes: segmentBytesOf(info, backup.database),
    timeline,
    startLsn: lsn.start,
    stopLsn: lsn.stop,
    startedAt: isoOf(timestamp.start),
    // Cut to whole seconds by pgBackRest: the base may have ended any time before the next one.
    endedAt: isoOf(timestamp.stop + 1),
    parentId: null,
    compression: 'none',
    tar: label,
    sizes: { bytes: storedBytes(info, backup), rawBytes, restoredBytes: rawBytes, files: 0, chunks: 0 },
    sha256s: { index: NO_DIGEST, manifest: NO_DIGEST },
    settings: DEFAULT_SETTINGS,
  };
}

/** Bytes that a restore reads: where the repository does not say, what the base and those it builds on took, at most the whole cluster. */
function storedBytes(info: StanzaInfo, backup: InfoBackup): number {
  const { size, repository } = backup.info;
  if (typeof repository.size === 'number') return repository.size;
  const labels = new Set([backup.label, ...(backup.reference ?? [])]);
  const parts = info.backup.filter((one) => labels.has(one.label)).map((one) => one.info.repository.delta ?? 0);
  const sum = parts.reduce((total, part) => total + part, 0);
  return sum === 0 ? size : Math.min(sum, size);
}

const SEGMENT_SIZES = Array.from({ length: 11 }, (_, power) => 2 ** power * 1024 * 1024);

/**
 * The size of a segment: `info` does not tell it, but where a base starts has a position and the name of a segment, and usually one size only fits them. Among
 * several the default is taken when it fits.
 */
function segmentBytesOf(info: StanzaInfo, database: InfoBackup['database']): number {
  const points = info.backup.filter(
    (one) => one.database.id === database.id && one.database['repo-key'] === database['repo-key'],
  );
  const fitting = SEGMENT_SIZES.filter((size) => points.every((point) => fits(point, size)));
  if (fitting.includes(DEFAULT_WAL_SEGMENT_BYTES)) return DEFAULT_WAL_SEGMENT_BYTES;
  return fitting[0] ?? DEFAULT_WAL_SEGMENT_BYTES;
}

function fits({ lsn, archive }: InfoBackup, size: number): boolean {
  if (lsn === null || lsn === undefined || archive.start === null) return true;
  const timeline = Number.parseInt(archive.start.slice(0, 8), 16);
  return segmentName(timeline, segmentNumberOf(lsn.start, size), size) === archive.start;
}

function isoOf(seconds: number): string {
  return new Date(seconds * 1000).toISOString();
}
