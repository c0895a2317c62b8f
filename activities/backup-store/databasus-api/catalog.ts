/** What the controller's lists say of a database: bases and WAL segments. No content is read; the lists are not proven by it. */
import { formatLsn, type Lsn } from '../../../shared/lsn.js';
import { compareTimestamps, normaliseTimestamp } from '../../../shared/target-time.js';
import { isSegmentName, parseSegmentName } from '../../../shared/timeline.js';
import { listBackups } from './api.js';
import { chooseDatabase, type Choice, type ChosenDatabase } from './choose-database.js';
import { lsnOf, type BackupRow } from './schemas.js';
import type { Session } from './session.js';

export type ListedBase = {
  id: string;
  kind: 'full' | 'incremental';
  parentId: string | null;
  timeline: number;
  startLsn: Lsn;
  stopLsn: Lsn;
  /** Stored bytes of the tar, compressed. */
  bytes: number;
  startedAt: string;
  endedAt: string;
};

type ListedWal = { segment: string; bytes: number; receivedAt: string };

export type Catalog = {
  database: ChosenDatabase;
  /** Complete ones, oldest first. */
  bases: ListedBase[];
  /** Complete ones, by name. */
  wal: ListedWal[];
  /** Backups that failed or were broken off, newest first. */
  failed: BackupRow[];
};

const MIB = 1024 * 1024;

/** Reads the lists. Errors as of the API (see refusals.ts, choose-database.ts). */
export async function readCatalog(session: Session, choice: Choice): Promise<Catalog> {
  const database = await chooseDatabase(session, choice);
  const rows = await listBackups(session, database.id);
  const complete = rows.filter(({ status }) => status === 'COMPLETED');
  const bases = complete.filter(({ type }) => type === 'FULL' || type === 'INCREMENTAL').map(baseOf);
  bases.sort((a, b) => compareTimestamps(a.endedAt, b.endedAt));
  const wal = complete.flatMap(walOf).sort((a, b) => (a.segment < b.segment ? -1 : 1));
  const failed = rows.filter(({ status }) => status !== 'COMPLETED' && status !== 'IN_PROGRESS');
  return { database, bases, wal, failed };
}

/**
 * The history file of a timeline as far as names tell it: it begins in the first segment that carries its number. Where in that segment is
 * only known from the real file, which comes with the stream; the end is taken, so that a base that ended in it is not left out.
 */
export function guessedHistory({ wal, database }: Catalog, timeline: number): string {
  const lines = timelinesOf({ wal }).flatMap((older, at, all) => {
    const next = all[at + 1];
    if (older >= timeline || next === undefined) return [];
    const first = wal.find(({ segment }) => timelineOf(segment) === next);
    const parsed = first === undefined ? null : parseSegmentName(first.segment, database.walSegmentBytes);
    if (parsed === null) return [];
    const end = (parsed.number + 1n) * BigInt(database.walSegmentBytes) - 8n;
    return [`${String(older)}\t${formatLsn(end)}\tby the names of segments\n`];
  });
  return lines.join('');
}

/** Timelines that have WAL, ascending. */
export function timelinesOf({ wal }: Pick<Catalog, 'wal'>): number[] {
  return [...new Set(wal.map(({ segment }) => timelineOf(segment)))].sort((a, b) => a - b);
}

function timelineOf(segment: string): number {
  return Number.parseInt(segment.slice(0, 8), 16);
}

function baseOf(row: BackupRow): ListedBase {
  return {
    id: row.id,
    kind: row.type === 'FULL' ? 'full' : 'incremental',
    parentId: row.parentIncrementalBackupId ?? row.rootFullBackupId ?? null,
    timeline: row.timelineId,
    startLsn: lsnOf(row.startLsn, row),
    stopLsn: lsnOf(row.stopLsn, row),
    bytes: Math.round(row.sizeMb * MIB),
    startedAt: utc(row.createdAt),
    endedAt: utc(row.completedAt ?? row.createdAt),
  };
}

function walOf({ type, walFilename, sizeMb, createdAt }: BackupRow): ListedWal[] {
  const segment = walFilename ?? '';
  if (type !== 'WAL' || !isSegmentName(segment)) return [];
  return [{ segment, bytes: Math.round(sizeMb * MIB), receivedAt: utc(createdAt) }];
}

function utc(time: string): string {
  return normaliseTimestamp(time) ?? time;
}
