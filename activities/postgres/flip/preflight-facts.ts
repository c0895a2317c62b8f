/** What both nodes say about themselves before a flip; one round trip each. Changes nothing. */
import type pg from 'pg';

import { stepFailure } from '../../lib/failure.js';
import { lsnOrNull } from './lsn-text.js';
import type { Lsn } from '../../../shared/lsn.js';

export type SlotFact = {
  slot_name: string;
  slot_type: 'physical' | 'logical';
  active: boolean;
  active_pid: number | null;
  temporary: boolean;
  failover?: boolean;
  synced?: boolean;
  invalidation_reason?: string | null;
};
type SenderFact = { pid: number; state: string; application_name: string };

export type NodeFacts = {
  systemIdentifier: string;
  inRecovery: boolean;
  timeline: number;
  /** Written on a primary, received and replayed on a standby. */
  currentLsn: Lsn | null;
  receivedLsn: Lsn | null;
  replayLsn: Lsn | null;
  replayPaused: boolean;
  receiver: { status: string; slot: string | null; conninfo: string } | null;
  senders: SenderFact[];
  slots: SlotFact[];
  /** Values as `pg_settings.setting` has them. */
  settings: Record<string, string>;
  settingSources: Record<string, string>;
  pendingRestart: string[];
  baseBackups: number;
  archiver: { failing: boolean; lastFailed: string | null };
  longTransactions: { pid: number; ageSeconds: number; database: string; query: string }[];
  historyFiles: string[];
  /** Age of the last commit that was replayed; null on a primary. */
  lastReplayAgeSeconds: number | null;
  heartbeatAgeSeconds: number | null;
};

const SETTINGS = [
  'max_connections',
  'max_worker_processes',
  'max_wal_senders',
  'max_prepared_transactions',
  'max_locks_per_transaction',
  'max_replication_slots',
  'wal_level',
  'archive_mode',
  'archive_command',
  'archive_library',
  'synchronous_standby_names',
  'synchronous_commit',
  'recovery_min_apply_delay',
  'restore_command',
  'full_page_writes',
  'wal_log_hints',
  'data_checksums',
  'primary_conninfo',
  'wal_segment_size',
];
/** Shorter ones end by themselves before anybody has approved. */
const LONG_SECONDS = 10;

const FACTS = `
select (select system_identifier::text from pg_control_system()) as "systemIdentifier",
       pg_is_in_recovery() as "inRecovery",
       case when pg_is_in_recovery() then coalesce((select received_tli from pg_stat_wal_receiver), (select timeline_id from pg_control_checkpoint()))
            else ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::int end as timeline,
       case when not pg_is_in_recovery() then pg_current_wal_lsn()::text end as "currentLsn",
       pg_last_wal_receive_lsn()::text as "receivedLsn", pg_last_wal_replay_lsn()::text as "replayLsn",
       case when pg_is_in_recovery() then pg_is_wal_replay_paused() else false end as "replayPaused",
       (select jsonb_build_object('status', status, 'slot', slot_name, 'conninfo', conninfo) from pg_stat_wal_receiver) as receiver,
       (select coalesce(jsonb_agg(jsonb_build_object('pid', pid, 'state', state, 'application_name', application_name)), '[]') from pg_stat_replication) as senders,
       (select coalesce(jsonb_agg(to_jsonb(s)), '[]') from pg_replication_slots s) as slots,
       (select jsonb_object_agg(name, setting) from pg_settings where name = any($1)) as settings,
       (select jsonb_object_agg(name, source) from pg_settings where name = any($1)) as "settingSources",
       (select coalesce(jsonb_agg(name), '[]') from pg_settings where pending_restart) as "pendingRestart",
       (select count(*)::int from pg_stat_progress_basebackup) as "baseBackups",
       (select jsonb_build_object('failing', coalesce(last_failed_time > coalesce(last_archived_time, '-infinity'), false), 'lastFailed', last_failed_wal) from pg_stat_archiver) as archiver,
       (select coalesce(jsonb_agg(jsonb_build_object('pid', pid, 'ageSeconds', round(extract(epoch from now() - xact_start)), 'database', datname, 'query', left(query, 60)) order by xact_start), '[]')
          from pg_stat_activity where backend_type = 'client backend' and xact_start < now() - make_interval(secs => $2)) as "longTransactions",
       (select coalesce(jsonb_agg(name), '[]') from pg_ls_waldir() where name like '%.history') as "historyFiles",
       round(extract(epoch from clock_timestamp() - pg_last_xact_replay_timestamp()))::int as "lastReplayAgeSeconds"`;

/** Throws what the server says; a role without the rights for it (pg_monitor) is such an answer. */
export async function readNodeFacts(client: pg.Client): Promise<NodeFacts> {
  const { rows } = await client.query<Record<string, unknown>>(FACTS, [SETTINGS, LONG_SECONDS]);
  const row = rows[0];
  if (row === undefined) throw stepFailure('Bug', 'the server did not say who it is');
  const facts = {
    ...row,
    currentLsn: lsnOrNull(row['currentLsn']),
    receivedLsn: lsnOrNull(row['receivedLsn']),
    replayLsn: lsnOrNull(row['replayLsn']),
    heartbeatAgeSeconds: await readHeartbeatAge(client),
  };
  return facts as unknown as NodeFacts;
}

/** Age of the newest heartbeat that this node has; null without the table. */
async function readHeartbeatAge(client: pg.Client): Promise<number | null> {
  const there = await client.query<{ there: boolean }>(`select to_regclass('pgr.heartbeat') is not null as there`);
  if (there.rows[0]?.there !== true) return null;
  const { rows } = await client.query<{ age: number | null }>(
    `select round(extract(epoch from clock_timestamp() - max(at)))::int as age from pgr.heartbeat`,
  );
  return rows[0]?.age ?? null;
}
