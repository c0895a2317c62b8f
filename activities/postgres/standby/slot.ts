/** The replication slot through which a standby is copied and follows: WAL is kept for it from now on. */
import { stepFailure } from '../../lib/failure.js';
import type { ActivityDeps } from '../../lib/deps.js';
import { connectNode } from '../connection.js';

/**
 * Makes the slot on `from` unless it is there, reserving WAL at once. One that lost its WAL can serve nobody any more: when nobody uses it, it is made
 * again. Throws PreconditionFailed when the name is taken by a logical slot.
 */
export async function makeSlot(deps: ActivityDeps, environment: string, from: string, slot: string): Promise<void> {
  await connectNode(deps, environment, from, {}, async (client) => {
    const { rows } = await client.query<{ type: string; active: boolean; status: string | null }>(
      'select slot_type as type, active, wal_status as status from pg_replication_slots where slot_name = $1',
      [slot],
    );
    const found = rows[0];
    if (found !== undefined && found.type !== 'physical') {
      throw stepFailure('PreconditionFailed', `${from} has a ${found.type} slot ${slot}: it is not the standby's`);
    }
    if (found?.status === 'lost' && !found.active) await client.query('select pg_drop_replication_slot($1)', [slot]);
    else if (found !== undefined) return;
    await client.query('select pg_create_physical_replication_slot($1, true)', [slot]);
  });
}
