/** Argument arrays of the PostgreSQL programs that the basics need. Pure. */

/** `postgres` itself: settings win over every configuration file, because they stand on the command line. */
export function postgresArgs(dataDir: string, settings: Readonly<Record<string, string>> = {}): string[] {
  return ['-D', dataDir, ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])];
}

export function controlDataArgs(dataDir: string): string[] {
  return ['-D', dataDir];
}

/** Flushes every file of a data directory: what a server with fsync=off left in the page cache (PostgreSQL docs, initdb). */
export function syncOnlyArgs(dataDir: string): string[] {
  return ['--sync-only', '-D', dataDir];
}

export type StandbyClone = {
  host: string;
  port: number;
  user: string;
  targetDir: string;
  slot: string;
  /** Name under which the new standby shows in pg_stat_replication. */
  applicationName: string;
  /** Upper limit of the transfer; none when left out or null. */
  rateLimitKbPerSecond?: number | null;
};

/** A standby from its primary: settings for streaming written by `-R`, WAL through the slot, no waiting for a spread checkpoint. */
export function standbyCloneArgs(clone: StandbyClone): string[] {
  const quoted = (value: string): string => `'${value.replace(/[\\']/g, '\\$&')}'`;
  const connection = [
    `host=${quoted(clone.host)}`,
    `port=${String(clone.port)}`,
    `user=${quoted(clone.user)}`,
    `application_name=${quoted(clone.applicationName)}`,
  ].join(' ');
  return [
    '--dbname',
    connection,
    '--pgdata',
    clone.targetDir,
    '--wal-method=stream',
    '--slot',
    clone.slot,
    '--write-recovery-conf',
    '--checkpoint=fast',
    '--no-password',
    '--progress',
    '--verbose',
    ...((clone.rateLimitKbPerSecond ?? null) === null ? [] : [`--max-rate=${String(clone.rateLimitKbPerSecond)}k`]),
  ];
}
