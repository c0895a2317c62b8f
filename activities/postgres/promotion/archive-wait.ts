/** Waiting until WAL is in the archive: the server's own counters show progress and trouble, the store is the proof. */
import type pg from 'pg';

import { lsnToBigInt, parseLsn, type Lsn } from '../../../shared/lsn.js';
import { segmentName } from '../../../shared/timeline.js';
import type { BackupStore } from '../../lib/backup-store.js';
import { stepFailure } from '../../lib/failure.js';
import { pollUntil } from '../../lib/poll.js';

/**
 * Patience while nothing new is archived. PostgreSQL tries a failing archive_command three times and then once a minute (pgarch.c), so this
 * spans a retry; a backlog that shrinks is waited for however long it takes.
 */
export const ARCHIVE_STALL_MS = 90_000;
/** A receiver that lost its server attaches again about 90 s later (measured with Databasus), and gets the segment then. */
export const RECEIVER_STALL_MS = 240_000;
const LOOK_EVERY_MS = 50;
const STORE_LOOK_EVERY_MS = 1_000;

export type Archiver = {
  lastArchived: string | null;
  lastFailed: string | null;
  lastFailedTime: string | null;
  failedCount: number;
  archivedCount: number;
  /** The last thing that happened was a failure. */
  failing: boolean;
};

/** pg_stat_archiver (PostgreSQL docs, "The Cumulative Statistics System"). */
export async function readArchiver(client: pg.Client): Promise<Archiver> {
  const { rows } = await client.query<Archiver>(
    `select last_archived_wal as "lastArchived", last_failed_wal as "lastFailed", last_failed_time::text as "lastFailedTime",
            failed_count::int as "failedCount", archived_count::int as "archivedCount",
            coalesce(last_failed_time > coalesce(last_archived_time, '-infinity'), false) as failing
       from pg_stat_archiver`,
  );
  const row = rows[0];
  if (row !== undefined) return row;
  throw stepFailure('Bug', 'pg_stat_archiver has no row');
}

/** Returns once the store has `name`. Throws ArchiveFailing when nothing was archived for a while. */
export async function waitUntilArchived(
  client: pg.Client,
  store: BackupStore,
  name: string,
  stallMs: number = ARCHIVE_STALL_MS,
): Promise<void> {
  let archiver = await readArchiver(client);
  let deadline = Date.now() + stallMs;
  // The server's counters say when a look into the store is worth it, but they may have been reset: so one look a second in any case.
  let nextLook = 0;
  await pollUntil<true>(
    async () => {
      const now = await readArchiver(client);
      const moved = now.archivedCount !== archiver.archivedCount;
      archiver = now;
      if (moved) deadline = Date.now() + stallMs;
      if (moved || Date.now() >= nextLook) {
        nextLook = Date.now() + STORE_LOOK_EVERY_MS;
        if ((await store.walPresence(name)) === 'found') return true;
      }
      if (Date.now() >= deadline) throw archiveStalled(name, archiver, stallMs);
      return null;
    },
    { timeoutMs: Number.MAX_SAFE_INTEGER, everyMs: LOOK_EVERY_MS },
  );
}

function archiveStalled(name: string, archiver: Archiver, stallMs: number): Error {
  const failed = archiver.failing ? `; the last attempt failed with ${archiver.lastFailed ?? 'an unknown file'}` : '';
  const last = archiver.lastArchived ?? 'nothing yet';
  return stepFailure(
    'ArchiveFailing',
    `${name} is not in the archive: nothing was archived for ${String(Math.round(stallMs / 1000))} s, last was ${last}${failed}`,
  );
}

export type ArchiveSettings = { archive_mode: string; archive_command: string; archive_library: string };

/** The settings of a live server that decide whether it archives. */
export async function readArchiveSettings(client: pg.Client): Promise<ArchiveSettings> {
  const { rows } = await client.query<ArchiveSettings>(
    `select current_setting('archive_mode') archive_mode, current_setting('archive_command') archive_command,
            coalesce(current_setting('archive_library', true), '') archive_library`,
  );
  return rows[0] ?? { archive_mode: 'off', archive_command: '', archive_library: '' };
}

export type EndOfHistory = { segment: string; lastLsn: Lsn; timeline: number };

/**
 * Writes a named restore point (so the end of this history has a name, and the segment is not empty), ends the segment and returns once
 * the archive has it.
 */
export async function switchAndArchive(
  client: pg.Client,
  store: BackupStore,
  restorePoint: string,
  stallMs: number = ARCHIVE_STALL_MS,
): Promise<EndOfHistory> {
  const end = await switchSegment(client, restorePoint);
  await waitUntilArchived(client, store, end.segment, stallMs);
  return end;
}

async function switchSegment(client: pg.Client, restorePoint: string): Promise<EndOfHistory> {
  // Names of restore points have at most 63 bytes (MAXFNAMELEN).
  await client.query('select pg_create_restore_point($1)', [restorePoint.slice(0, 63)]);
  const { rows } = await client.query<{ end: string; timeline: string; segmentBytes: string }>(
    `select pg_switch_wal()::text as end, substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8) as timeline,
            (select setting from pg_settings where name = 'wal_segment_size') as "segmentBytes"`,
  );
  const row = rows[0];
  const lastLsn = parseLsn(row?.end ?? '');
  if (row === undefined || lastLsn === null) throw stepFailure('Bug', 'the server did not say where its WAL ends');
  const segmentBytes = Number(row.segmentBytes);
  const timeline = Number.parseInt(row.timeline, 16);
  return { segment: segmentEndingAt(lastLsn, timeline, segmentBytes), lastLsn, timeline };
}

/** Name of the segment whose last byte lies before `lsn`: on a boundary the one before it. Not left to pg_walfile_name, which changed in 17. */
export function segmentEndingAt(lsn: Lsn, timeline: number, segmentBytes: number): string {
  return segmentName(timeline, (lsnToBigInt(lsn) - 1n) / BigInt(segmentBytes), segmentBytes);
}
