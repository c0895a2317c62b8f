/** The replication slot through which a standby is copied and follows: WAL is kept for it from now on. */
import { stepFailure } from '../../lib/failure.js';
import { pollUntil } from '../../lib/poll.js';
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

/** A killed receiver is noticed by its walsender at the next message; this is many of them. */
const IDLE_WITHIN_MS = 30_000;

/**
 * Waits until nobody uses the slot: the walsender of a copy that was killed a moment ago holds it, and a new copy would be refused. Nobody is cut
 * off: whoever goes on using it may be another standby. Throws PreconditionFailed with who it is.
 */
export async function waitForIdleSlot(
  deps: ActivityDeps,
  environment: string,
  from: string,
  slot: string,
  timeoutMs = IDLE_WITHIN_MS,
): Promise<void> {
  let user: SlotUser | undefined;
  const idle = await connectNode(deps, environment, from, {}, (client) =>
    pollUntil(
      async () => {
        const { rows } = await client.query<SlotUser>(
          `select s.active_pid as pid, r.application_name as name, r.client_addr::text as address
             from pg_replication_slots s left join pg_stat_replication r on r.pid = s.active_pid
            where s.slot_name = $1 and s.active_pid is not null`,
          [slot],
        );
        user = rows[0];
        return user === undefined ? true : null;
      },
      { timeoutMs },
    ),
  );
  if (idle !== null) return;
  throw stepFailure('PreconditionFailed', `slot ${slot} of ${from} is in use by ${userText(user)}`, {
    hint: 'see in pg_stat_replication what follows through it; end that, then `pgr retry`',
  });
}

type SlotUser = { pid: number; name: string | null; address: string | null };

function userText(user: SlotUser | undefined): string {
  if (user === undefined) return 'somebody';
  return `${user.name ?? 'somebody'} at ${user.address ?? 'a local socket'} (walsender ${String(user.pid)})`;
}
