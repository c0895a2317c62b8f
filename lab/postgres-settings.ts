/** Configuration files of the lab's servers. Pure. One postgresql.conf per node and nothing else, so that it can be read at a glance. */

export type NodeSettings = {
  node: string;
  port: number;
  /** Shell words of the archive command; `%p` is added. */
  archiveCommand: readonly string[];
};

/** One word of a POSIX shell command: archive_command is run by /bin/sh. */
function shellWord(word: string): string {
  return /^[A-Za-z0-9_\-./:=%+,@]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}

/** A string in postgresql.conf. */
function confString(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

/** archive_command as it stands in the configuration: our wal-push, told by PostgreSQL which file (%p, relative to the data directory). */
export function archiveCommand(words: readonly string[]): string {
  // A % of a path would be taken for one of PostgreSQL's own.
  return `${words.map((word) => shellWord(word).replaceAll('%', '%%')).join(' ')} %p`;
}

/** postgresql.conf of a node: small, but with everything that a production server has which is to be recovered. */
export function postgresqlConf(settings: NodeSettings): string {
  return `# Written by pgr lab for node ${settings.node}. "pgr lab up" changes the port when another program has taken it, and nothing else.
listen_addresses = '127.0.0.1'
port = ${settings.port}
unix_socket_directories = ''
cluster_name = ${confString(settings.node)}
max_connections = 60
password_encryption = 'scram-sha-256'

shared_buffers = 128MB
max_wal_size = 1GB
checkpoint_timeout = 5min
jit = off

# What recovery needs: full WAL, summaries for incremental bases, commit times by transaction.
wal_level = replica
summarize_wal = on
track_commit_timestamp = on
archive_mode = on
archive_command = ${confString(archiveCommand(settings.archiveCommand))}
# An idle server archives after this long, so no more than these seconds are ever only on its disk.
archive_timeout = 30s

# Replication: the slot keeps WAL for the standby, but never so much that the disk fills.
max_wal_senders = 10
max_replication_slots = 10
wal_keep_size = 128MB
max_slot_wal_keep_size = 2GB
hot_standby = on
hot_standby_feedback = on

log_destination = 'stderr'
logging_collector = off
log_line_prefix = '%m [%p] %q%u@%d '
log_timezone = 'UTC'
timezone = 'UTC'
datestyle = 'iso'
log_checkpoints = on
log_lock_waits = on
log_min_duration_statement = 2s
`;
}

/** pg_hba.conf: passwords over scram, from this machine only. */
export function pgHbaConf(): string {
  return `# Written by pgr lab: this machine only, always with a password.
# TYPE  DATABASE     USER  ADDRESS       METHOD
local   all          all                 scram-sha-256
host    all          all   127.0.0.1/32  scram-sha-256
host    replication  all   127.0.0.1/32  scram-sha-256
`;
}

/** The port line of a postgresql.conf replaced; every other line stays as people left it. */
export function withPort(conf: string, port: number): string {
  return /^port\s*=.*$/m.test(conf) ? conf.replace(/^port\s*=.*$/gm, `port = ${port}`) : `${conf}\nport = ${port}\n`;
}

/** postgresql.auto.conf with the primary's new port in primary_conninfo (the only place that names another node). */
export function withPrimaryPort(autoConf: string, port: number): string {
  return autoConf.replace(/^(primary_conninfo\s*=.*?\bport=(?:'')?)\d+/gm, `$1${port}`);
}
