/** Arguments and queries of a base backup. Pure. */

export type BaseBackup = {
  host: string;
  port: number;
  user: string;
  /** Manifest of the base on which this one builds; null for a full one. */
  parentManifest: string | null;
};

/**
 * Arguments of pg_basebackup that streams one tar to stdout. Without WAL: the server waits until all WAL that the base needs is archived,
 * so a base that is finished can be restored. The manifest is put into the tar, because stdout has no other place for it.
 */
export function baseBackupArgs(backup: BaseBackup): string[] {
  return [
    '--host',
    backup.host,
    '--port',
    String(backup.port),
    '--username',
    backup.user,
    '--no-password',
    '--pgdata',
    '-',
    '--format',
    'tar',
    '--wal-method',
    'none',
    '--checkpoint',
    'fast',
    '--manifest-checksums',
    'CRC32C',
    ...(backup.parentManifest === null ? [] : ['--incremental', backup.parentManifest]),
  ];
}

/** One row with everything that the header of a base needs from the server. */
export const SERVER_FACTS_SQL = `
select (select system_identifier::text from pg_control_system()) as "systemIdentifier",
       current_setting('server_version_num')::int / 10000 as "postgresMajor",
       current_setting('server_version') as "postgresVersion",
       (select setting::int from pg_settings where name = 'wal_segment_size') as "walSegmentBytes",
       pg_is_in_recovery() as "isStandby",
       case when pg_is_in_recovery() then (select timeline_id from pg_control_checkpoint())
            else ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int end as "timeline",
       coalesce(current_setting('summarize_wal', true), 'off') = 'on' as "summarizesWal",
       (select coalesce(sum(case when has_database_privilege(oid, 'connect') then pg_database_size(oid) else 0 end), 0)::float8
          from pg_database) as "databaseBytes",
       (select coalesce(string_agg(spcname, ', ' order by spcname), '') from pg_tablespace
         where spcname not in ('pg_default', 'pg_global')) as "tablespaces",
       current_setting('max_connections')::int as "maxConnections",
       current_setting('max_worker_processes')::int as "maxWorkerProcesses",
       current_setting('max_wal_senders')::int as "maxWalSenders",
       current_setting('max_prepared_transactions')::int as "maxPreparedTransactions",
       current_setting('max_locks_per_transaction')::int as "maxLocksPerTransaction"`;

/** The server's clock in UTC with microseconds. */
export const SERVER_CLOCK_SQL = `select to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as "now"`;

/** Whether the archiver's last attempt failed. */
export const ARCHIVER_SQL = `
select last_failed_wal as "lastFailedWal",
       coalesce(last_failed_time > coalesce(last_archived_time, '-infinity'), false) as "isFailing"
  from pg_stat_archiver`;
