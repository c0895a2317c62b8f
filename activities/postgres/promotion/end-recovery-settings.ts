/**
 * Settings of the private start that ends recovery: on the command line only, so nothing is left behind. Production's own configuration
 * applies otherwise, above all its archive_command. Pure.
 */
import type { StopPoint } from '../../../shared/contracts/plan.js';

export type EndRecoverySettings = {
  timeline: number;
  stop: StopPoint;
  port: number;
  socketDir: string;
  hbaFile: string;
  user: string;
};

const END_RECOVERY_CLUSTER_NAME = 'pgr-end-recovery';

/** Private address, safe storage, nobody else in it, recovery to the planned stop and then promotion. */
export function endRecoverySettings(input: EndRecoverySettings): Record<string, string> {
  return { ...privatePlace(input), ...quiet(), ...recoveryTarget(input) };
}

function privatePlace(input: EndRecoverySettings): Record<string, string> {
  return {
    listen_addresses: '127.0.0.1',
    port: String(input.port),
    unix_socket_directories: input.socketDir,
    unix_socket_permissions: '0700',
    hba_file: input.hbaFile,
    cluster_name: END_RECOVERY_CLUSTER_NAME,
    external_pid_file: '',
    // Nobody comes over the network, and a key that the server may read through a group of its unit is closed to a process of ours.
    ssl: 'off',
    // Our log file tells what happened, wherever production logs.
    logging_collector: 'off',
    log_destination: 'stderr',
    log_min_messages: 'warning',
    lc_messages: 'C',
  };
}

/** What would act by itself in a server that only ends its recovery. */
function quiet(): Record<string, string> {
  return {
    // Sessions come after the promotion, so a smaller max_connections than that of the day of the base does not matter.
    hot_standby: 'off',
    fsync: 'on',
    full_page_writes: 'on',
    autovacuum: 'off',
    synchronous_standby_names: '',
    max_logical_replication_workers: '0',
    default_transaction_read_only: 'on',
    restart_after_crash: 'off',
    'cron.launch_active_jobs': 'off',
  };
}

/** All target settings are given: PostgreSQL refuses two targets, and production's files may name one. */
function recoveryTarget({ stop, timeline }: EndRecoverySettings): Record<string, string> {
  const isLsn = stop.kind === 'lsn';
  return {
    // The WAL is in pg_wal already. A command that waits or reaches out could block the promotion.
    restore_command: 'false',
    archive_cleanup_command: '',
    recovery_end_command: '',
    recovery_min_apply_delay: '0',
    primary_conninfo: '',
    primary_slot_name: '',
    recovery_target_time: '',
    recovery_target_xid: '',
    recovery_target_name: '',
    recovery_target: isLsn ? '' : 'immediate',
    recovery_target_lsn: isLsn ? stop.lsn : '',
    recovery_target_inclusive: isLsn && !stop.inclusive ? 'off' : 'on',
    recovery_target_timeline: String(timeline),
    recovery_target_action: 'promote',
  };
}
