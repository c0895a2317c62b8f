/** One look at one server, in one round trip after the login. Nothing of it changes anything. */
import { Socket } from 'node:net';

import type { NodeConfig } from '../../config/schema.js';
import { errorCodeOf } from '../../shared/error-code.js';
import { withClient, type DatabaseAddress } from '../lib/database.js';
import { isFailureOf } from '../lib/failure.js';
import { reasonOf, within } from './within.js';

type SlotRow = {
  slot: string;
  type: 'physical' | 'logical';
  active: boolean;
  retainedBytes: number | null;
  walStatus: string | null;
  failover: boolean;
  /** A copy that a standby keeps of a logical slot of its primary: never active by nature. */
  synced: boolean;
};

export type WalSender = { slot: string | null; applicationName: string; address: string | null; sync: string | null };

export type ServerAnswer = {
  inRecovery: boolean;
  readOnly: boolean;
  systemIdentifier: string;
  version: string;
  timeline: number;
  lsn: string | null;
  receiveLsn: string | null;
  replayLsn: string | null;
  replayAgeSeconds: number | null;
  receiver: string | null;
  replayPaused: boolean;
  pendingRestart: string[];
  slotName: string;
  clusterName: string;
  receiverConninfo: string | null;
  slots: SlotRow[];
  senders: WalSender[];
  archiver: { mode: string; failing: boolean; lastArchived: string | null; lastFailed: string | null };
  /** With the system identifier it names a running server: nobody starts two in one microsecond. */
  startedAt: string;
};

export type NodeLook =
  | { outcome: 'answered'; server: ServerAnswer }
  /** Nobody listens at its port. */
  | { outcome: 'down'; why: string }
  /** It may be anything, also a primary that takes writes. */
  | { outcome: 'unknown'; why: string };

/** For the login and for the statement. */
const STEP_MS = 1_000;
/** For all of it: the answer as a whole is promised in two seconds. */
const LOOK_MS = 1_300;
/** A refusal comes at once or not at all. */
const REFUSAL_MS = 200;

const LOOK = `
  select pg_is_in_recovery() as "inRecovery",
         current_setting('default_transaction_read_only')::boolean as "readOnly",
         (select system_identifier::text from pg_control_system()) as "systemIdentifier",
         split_part(current_setting('server_version'), ' ', 1) as version,
         case when pg_is_in_recovery()
              then greatest(r.received_tli, (select timeline_id from pg_control_checkpoint()),
                            (select min_recovery_end_timeline from pg_control_recovery()))
              else ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int end as timeline,
         case when not pg_is_in_recovery() then pg_current_wal_lsn()::text end as lsn,
         case when pg_is_in_recovery() then pg_last_wal_receive_lsn()::text end as "receiveLsn",
         case when pg_is_in_recovery() then pg_last_wal_replay_lsn()::text end as "replayLsn",
         extract(epoch from clock_timestamp() - pg_last_xact_replay_timestamp())::float8 as "replayAgeSeconds",
         case when r.pid is not null then coalesce(r.status, 'hidden') end as receiver,
         case when pg_is_in_recovery() then pg_get_wal_replay_pause_state() <> 'not paused' else false end as "replayPaused",
         (select coalesce(json_agg(name order by name), '[]') from pg_settings where pending_restart) as "pendingRestart",
         current_setting('primary_slot_name') as "slotName",
         current_setting('cluster_name') as "clusterName",
         r.conninfo as "receiverConninfo",
         (select coalesce(json_agg(json_build_object(
                   'slot', slot_name, 'type', slot_type, 'active', active, 'walStatus', wal_status,
                   'retainedBytes', pg_wal_lsn_diff(here.lsn, restart_lsn),
                   'failover', coalesce((to_jsonb(s) ->> 'failover')::boolean, false),
                   'synced', coalesce((to_jsonb(s) ->> 'synced')::boolean, false)) order by slot_name), '[]')
            from pg_replication_slots s) as slots,
         (select coalesce(json_agg(json_build_object('slot', s.slot_name, 'applicationName', w.application_name,
                   'address', host(w.client_addr), 'sync', w.sync_state) order by w.pid), '[]')
            from pg_stat_replication w left join pg_replication_slots s on s.active_pid = w.pid
           where w.state is distinct from 'backup') as senders,
         (select json_build_object('mode', current_setting('archive_mode'), 'lastArchived', last_archived_wal, 'lastFailed', last_failed_wal,
                   'failing', last_failed_time is not null and last_failed_time > coalesce(last_archived_time, '-infinity'))
            from pg_stat_archiver) as archiver,
         extract(epoch from pg_postmaster_start_time())::text as "startedAt"
    from (select case when pg_is_in_recovery() then coalesce(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())
                      else pg_current_wal_lsn() end as lsn) as here
    left join pg_stat_wal_receiver r on true`;

/** Asks a node directly. Never fails and never takes longer than 1.3 s: what cannot be found out is `unknown`, with the reason. */
export async function askNode(
  node: Pick<NodeConfig, 'address' | 'port'>,
  login: Omit<DatabaseAddress, 'host' | 'port'>,
): Promise<NodeLook> {
  const address = { ...login, host: node.address, port: node.port };
  const where = `${node.address}:${String(node.port)}`;
  return within(LOOK_MS, look(address), () => ({
    outcome: 'unknown',
    why: `${where} has not answered in ${String(LOOK_MS)} ms`,
  }));
}

async function look(address: DatabaseAddress): Promise<NodeLook> {
  try {
    const limits = { connectTimeoutMs: STEP_MS, statementTimeoutMs: STEP_MS };
    const server = await withClient({ ...address, ...limits }, async (client) => {
      const { rows } = await client.query<ServerAnswer>(LOOK);
      return rows[0];
    });
    return server === undefined
      ? { outcome: 'unknown', why: 'the server gave no answer' }
      : { outcome: 'answered', server };
  } catch (error) {
    const why = reasonOf(error);
    const refused = isFailureOf(error, 'DatabaseUnavailable') && (await refusesConnections(address));
    return { outcome: refused ? 'down' : 'unknown', why };
  }
}

/** True only when the host itself says that nobody listens there: a host that is silent may be cut off, with a primary on it. */
async function refusesConnections({ host, port }: { host: string; port: number }): Promise<boolean> {
  const socket = new Socket();
  try {
    return await new Promise<boolean>((resolve) => {
      socket.setTimeout(REFUSAL_MS, () => {
        resolve(false);
      });
      socket.once('connect', () => {
        resolve(false);
      });
      socket.once('error', (error) => {
        resolve(errorCodeOf(error) === 'ECONNREFUSED');
      });
      socket.connect({ host, port });
    });
  } finally {
    socket.destroy();
  }
}
