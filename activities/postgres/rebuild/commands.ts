/** Argument arrays of the programs that a rebuild runs as jobs. Pure. */
type Source = { host: string; port: number; user: string; database: string };

/** Connection string for `--source-server`; the password goes by PGPASSWORD. */
function sourceServer(source: Source): string {
  const quoted = (value: string): string => `'${value.replace(/[\\']/g, '\\$&')}'`;
  const { host, port, user, database } = source;
  return `host=${quoted(host)} port=${String(port)} user=${quoted(user)} dbname=${quoted(database)} application_name=pgr`;
}

/** Brings a stopped cluster to the history of the source. It recovers a crashed one first, by itself. */
export function rewindArgs(dataDir: string, source: Source): string[] {
  return ['--target-pgdata', dataDir, '--source-server', sourceServer(source), '--progress'];
}

/** Says what a rewind would do; writes nothing. */
export function rewindDryRunArgs(dataDir: string, source: Source): string[] {
  return [...rewindArgs(dataDir, source), '--dry-run'];
}

/** A copy of a directory with owners, modes and times; blocks are shared where the file system can. `to` must not exist. */
export function copyTreeArgs(from: string, to: string): string[] {
  return ['--archive', '--reflink=auto', '--no-target-directory', from, to];
}

/** Deletes everything below a directory, not the directory, and nothing on another file system. */
export function emptyDirectoryArgs(dir: string): string[] {
  return [dir, '-xdev', '-mindepth', '1', '-delete'];
}

/** A clone of one small file: succeeds only where the file system shares blocks. */
export function reflinkProbeArgs(from: string, to: string): string[] {
  return ['--reflink=always', from, to];
}
