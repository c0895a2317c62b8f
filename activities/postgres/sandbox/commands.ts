/** Argument arrays of the programs that a sandbox needs. Pure. */
import type { CombineIncrementalsResult } from '../../../shared/contracts/sandbox.js';

export type CopyMethod = Exclude<CombineIncrementalsResult['method'], 'rename'>;

/** pg_combinebackup: full base first. Not synced: what becomes production is synced as a whole before it does. */
export function combineArgs(baseDirs: readonly string[], outputDir: string, method: CopyMethod): string[] {
  return ['--no-sync', `--${method}`, '--output', outputDir, ...baseDirs];
}

/** pg_verifybackup of files and checksums. The WAL of a base is replayed anyway, from the archive. */
export function verifyBackupArgs(dir: string): string[] {
  return ['--no-parse-wal', '--quiet', dir];
}

export type Amcheck = { host: string; port: number; user: string; level: 'heap' | 'full'; jobs: number };

/**
 * pg_amcheck of all databases. A server in recovery cannot take the locks of parent checks (PostgreSQL docs, "amcheck"), so `full` means
 * heap, every index, and every heap row found in its indexes.
 */
export function amcheckArgs(c: Amcheck): string[] {
  const connection = ['--host', c.host, '--port', String(c.port), '--username', c.user, '--no-password'];
  const depth = c.level === 'heap' ? ['--no-dependent-indexes'] : ['--heapallindexed'];
  return [...connection, '--all', '--jobs', String(c.jobs), ...depth];
}
