/**
 * A primary that archives ends its last segment when it is shut down (ShutdownXLOG switches WAL) and sends the rest of it, zeros, to the standby: up to
 * 16 MB that clients wait for. What fills the segment while they still work, needs not be sent then.
 */
import type pg from 'pg';

import type { Lsn } from '../../../shared/lsn.js';
import { markPosition } from './old-primary.js';

/** Left for what clients write meanwhile: to send this takes a few milliseconds. */
const LEAVE_BYTES = 512 * 1024;
/** One message; the server holds it in memory twice. */
const MESSAGE_BYTES = 4 * 1024 * 1024;
/** Clients that write faster than this fills reach the end of the segment themselves, and then the next one is to be filled. */
const LONGEST_MS = 3_000;

/**
 * Writes messages that nobody decodes until the current segment of a primary is nearly full. Returns the position up to which a standby should have
 * replayed before clients wait; null when the server does not archive, where a shutdown does not end the segment.
 */
export async function fillSegment(client: pg.Client): Promise<Lsn | null> {
  const deadline = performance.now() + LONGEST_MS;
  for (;;) {
    const left = await bytesLeft(client);
    if (left === null) return null;
    if (left <= LEAVE_BYTES || performance.now() > deadline) return markPosition(client);
    const bytes = Math.min(left - LEAVE_BYTES / 2, MESSAGE_BYTES);
    await client.query("select pg_logical_emit_message(false, 'pgr', repeat(' ', $1))", [Math.floor(bytes)]);
  }
}

async function bytesLeft(client: pg.Client): Promise<number | null> {
  const { rows } = await client.query<{ archives: boolean; left: number }>(
    `select current_setting('archive_mode') <> 'off' as archives,
            (pg_size_bytes(current_setting('wal_segment_size')) - (pg_walfile_name_offset(pg_current_wal_insert_lsn())).file_offset)::int as left`,
  );
  const [row] = rows;
  return row?.archives === true ? row.left : null;
}
