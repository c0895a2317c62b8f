/**
 * Brings the newest WAL of the live primary into the archive, so that a target of a minute ago can be planned. Writes nothing but WAL: it ends the current
 * segment, and for a time target it spends one empty transaction, whose COMMIT proves that nothing else was committed until T.
 * Done twice it archives one more (short) segment.
 */
import { ApplicationFailure } from '@temporalio/common';

import { parseLsn } from '../../shared/lsn.js';
import type { ActivityDeps } from '../lib/deps.js';
import type { BackupStore } from '../lib/backup-store.js';
import { stepFailure } from '../lib/failure.js';
import { connectNode } from './connection.js';
import { segmentEndingAt, waitUntilArchived } from './promotion/archive-wait.js';

/** A healthy archive_command needs about a second for a segment; longer than this the person should know instead of waiting. */
const PATIENCE_MS = 20_000;

export type HandOver =
  { outcome: 'archived'; segment: string; marker: string | null } | { outcome: 'failed'; why: string };

export type HandOverInput = { environment: string; node: string; timeline: number; withMarker: boolean };

/** Ends the primary's current segment and waits for it in the archive, with a bound; heartbeats meanwhile. */
export async function handOverNewestWal(
  deps: ActivityDeps,
  store: BackupStore,
  input: HandOverInput,
): Promise<HandOver> {
  try {
    return await connectNode(deps, input.environment, input.node, {}, async (client) => {
      // An xid makes an empty transaction write a COMMIT record with the time of now (RecordTransactionCommit).
      const marker = input.withMarker
        ? await client.query<{ xid: string }>('select pg_current_xact_id()::xid::text as xid')
        : null;
      const { rows } = await client.query<{ end: string; segmentBytes: string }>(
        `select pg_switch_wal()::text as end, (select setting from pg_settings where name = 'wal_segment_size') as "segmentBytes"`,
      );
      const end = parseLsn(rows[0]?.end ?? '');
      if (end === null) throw stepFailure('Bug', `${input.node} did not say where its WAL ends`);
      const segment = segmentEndingAt(end, input.timeline, Number(rows[0]?.segmentBytes));
      await waitUntilArchived(client, store, segment, PATIENCE_MS);
      return { outcome: 'archived', segment, marker: marker?.rows[0]?.xid ?? null };
    });
  } catch (error) {
    if (error instanceof ApplicationFailure && error.type !== 'Bug') return { outcome: 'failed', why: error.message };
    throw error;
  }
}
