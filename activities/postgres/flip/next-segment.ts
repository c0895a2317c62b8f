/**
 * The shutdown checkpoint of a primary that archives goes into a new segment. A server that has none ready writes 16 MB of zeros first, the primary and then
 * the standby, while clients wait (35 to 60 ms each, measured). Checkpoints and restartpoints make one ahead when the current segment is nearly full
 * (PreallocXlogFiles), so both are made to do that while clients still work.
 */
import type pg from 'pg';

import type { Lsn } from '../../../shared/lsn.js';
import { segmentName, segmentNumberOf } from '../../../shared/timeline.js';
import { lsnOrNull } from './lsn-text.js';

export type SegmentWork = {
  from: pg.Client;
  to: pg.Client;
  checkpoint: (which: 'from' | 'to') => Promise<void>;
  /** Returns once the candidate has replayed everything up to the position, or not in time. */
  replayed: (position: Lsn) => Promise<unknown>;
};

/**
 * Needs: the current segment nearly full. Returns whether anything was to be done, which takes time in which clients may have begun the next segment. A server
 * that does not say what it has, or does not make one, costs the time that was to be saved and nothing else.
 */
export async function makeNextSegment({ from, to, checkpoint, replayed }: SegmentWork): Promise<'made' | 'was-there'> {
  const next = await nextSegment(from);
  if (next === null) return 'was-there';
  const candidateHasIt = await hasSegment(to, next);
  if (candidateHasIt && (await hasSegment(from, next))) return 'was-there';
  await checkpoint('from');
  if (!candidateHasIt) {
    // A restartpoint is only made at a checkpoint of the primary that was replayed.
    const position = await insertPosition(from);
    if (position !== null) await replayed(position);
    await checkpoint('to');
  }
  return 'made';
}

type Place = { lsn: string; timeline: number; segmentBytes: number };

async function nextSegment(client: pg.Client): Promise<string | null> {
  const { rows } = await client.query<Place>(
    `select pg_current_wal_insert_lsn()::text as lsn, pg_size_bytes(current_setting('wal_segment_size'))::int as "segmentBytes",
            ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::int as timeline`,
  );
  const [row] = rows;
  const lsn = lsnOrNull(row?.lsn);
  if (row === undefined || lsn === null) return null;
  return segmentName(row.timeline, segmentNumberOf(lsn, row.segmentBytes) + 1n, row.segmentBytes);
}

/** True also for a server that does not tell (pg_ls_waldir is for superusers and pg_monitor). */
async function hasSegment(client: pg.Client, name: string): Promise<boolean> {
  const look = client.query<{ there: boolean }>('select exists (select from pg_ls_waldir() where name = $1) as there', [
    name,
  ]);
  return look.then(
    ({ rows }) => rows[0]?.there !== false,
    () => true,
  );
}

async function insertPosition(client: pg.Client): Promise<Lsn | null> {
  const { rows } = await client.query<{ lsn: string }>('select pg_current_wal_insert_lsn()::text as lsn');
  return lsnOrNull(rows[0]?.lsn);
}
