/**
 * Settings of a sandbox server. All of them go on its command line, where they win over every file in the data directory, so that
 * nothing has to be stripped from the data before it becomes production. Pure.
 */
import type { RecoveryPlan } from '../../../shared/contracts/plan.js';
import { shellQuoted } from './files.js';

export type SandboxSettings = {
  plan: RecoveryPlan;
  sandbox: string;
  port: number;
  socketDir: string;
  sharedBuffers: string;
  configFile: string;
  hbaFile: string;
  identFile: string;
  restoreScript: string;
  /** What production preloads; some WAL needs it. Launchers of jobs are left out. */
  preloadLibraries: readonly string[];
};

/** Libraries whose background workers act by themselves. */
const SELF_ACTING_LIBRARIES = new Set(['pg_cron', 'pg_partman_bgw', 'pgagent', 'pglogical', 'bdr', 'pg_squeeze']);

/** What the server of every sandbox is told, whatever is in it. */
export type ThrowawaySettings = Omit<SandboxSettings, 'plan' | 'restoreScript'> & {
  plan: Pick<RecoveryPlan, 'postgresMajor'>;
};

/** `postgres` arguments (after `-D`) of a sandbox that replays to the stop of the plan and pauses there. */
export function sandboxArguments(input: SandboxSettings): string[] {
  return settingArguments({ ...isolation(input), ...throwaway(input), ...minimums(input.plan), ...recovery(input) });
}

/** The same for a cluster of its own, without recovery: `more` is added. */
export function newClusterArguments(input: ThrowawaySettings, more: Readonly<Record<string, string>>): string[] {
  return settingArguments({ ...isolation(input), ...throwaway(input), ...more });
}

function settingArguments(settings: Readonly<Record<string, string>>): string[] {
  return Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
}

/** Invariant 5: nothing that the sandbox does may reach anybody else. */
function isolation(input: ThrowawaySettings): Record<string, string> {
  return {
    config_file: input.configFile,
    hba_file: input.hbaFile,
    ident_file: input.identFile,
    external_pid_file: '',
    listen_addresses: '127.0.0.1',
    port: String(input.port),
    unix_socket_directories: input.socketDir,
    unix_socket_permissions: '0700',
    ssl: 'off',
    cluster_name: clusterName(input.sandbox),
    archive_mode: 'off',
    archive_command: '',
    archive_library: '',
    archive_cleanup_command: '',
    recovery_end_command: '',
    primary_conninfo: '',
    primary_slot_name: '',
    synchronous_standby_names: '',
    max_logical_replication_workers: '0',
    shared_preload_libraries: keptLibraries(input.preloadLibraries),
    session_preload_libraries: '',
    local_preload_libraries: '',
    'cron.launch_active_jobs': 'off',
    default_transaction_read_only: 'on',
    hot_standby: 'on',
  };
}

/**
 * What may be lost may be fast (shared/contracts of recovery speed): without fsync a crash of the host makes the sandbox worthless, which
 * its start checks, and before it becomes production all of it is synced. Recycled segments would be links into the spool.
 */
function throwaway(input: ThrowawaySettings): Record<string, string> {
  return {
    fsync: 'off',
    full_page_writes: 'off',
    synchronous_commit: 'off',
    autovacuum: 'off',
    checkpoint_timeout: '1d',
    max_wal_size: '1TB',
    wal_recycle: 'off',
    ...(input.plan.postgresMajor >= 17 ? { summarize_wal: 'off' } : {}),
    recovery_prefetch: 'off',
    shared_buffers: input.sharedBuffers,
    huge_pages: 'off',
    jit: 'off',
    logging_collector: 'off',
    log_destination: 'stderr',
    // The log is read by us: where recovery stopped, and why.
    log_min_messages: 'warning',
    log_line_prefix: '%m [%p] ',
    log_timezone: 'UTC',
    lc_messages: 'C',
    timezone: 'UTC',
    log_recovery_conflict_waits: 'on',
  };
}

function minimums(plan: RecoveryPlan): Record<string, string> {
  const settings = plan.minimumSettings;
  return {
    max_connections: String(settings.maxConnections),
    max_worker_processes: String(settings.maxWorkerProcesses),
    max_wal_senders: String(settings.maxWalSenders),
    max_prepared_transactions: String(settings.maxPreparedTransactions),
    max_locks_per_transaction: String(settings.maxLocksPerTransaction),
  };
}

/** Other targets are emptied first: PostgreSQL refuses two, and production's own files may name one. */
function recovery(input: SandboxSettings): Record<string, string> {
  const { stop, timeline } = input.plan;
  return {
    restore_command: restoreCommand(input.restoreScript),
    recovery_target_time: '',
    recovery_target_xid: '',
    recovery_target_name: '',
    ...(stop.kind === 'lsn'
      ? { recovery_target: '', recovery_target_lsn: stop.lsn, recovery_target_inclusive: stop.inclusive ? 'on' : 'off' }
      : { recovery_target_lsn: '', recovery_target: 'immediate' }),
    recovery_target_timeline: String(timeline),
    recovery_target_action: 'pause',
    recovery_min_apply_delay: '0',
  };
}

/** `%` starts a placeholder in restore_command; the path is quoted for the shell that PostgreSQL runs it with. */
export function restoreCommand(script: string): string {
  return `/bin/sh ${shellQuoted(script).replaceAll('%', '%%')} '%f' '%p'`;
}

/** `cluster_name` holds 63 bytes. */
export function clusterName(sandbox: string): string {
  return `pgr-sandbox-${sandbox}`.slice(0, 63);
}

/** Names of libraries as shared_preload_libraries lists them, without those that act by themselves. */
export function keptLibraries(libraries: readonly string[]): string {
  return libraries.filter((library) => !SELF_ACTING_LIBRARIES.has(library.split('/').at(-1) ?? library)).join(',');
}
