/** Whether a data directory can be moved or copied as a whole. */
import { lstat, stat } from 'node:fs/promises';
import path from 'node:path';

/** Why the directory cannot be renamed aside; empty when it can, or when there is none. */
export async function renameProblems(dataDir: string): Promise<string[]> {
  const facts = await lstat(dataDir).catch(() => null);
  if (facts === null) return [];
  if (facts.isSymbolicLink()) return [`${dataDir} is a symbolic link: set dataDir in the config to the real path`];
  const parent = await stat(path.dirname(dataDir));
  if (facts.dev === parent.dev) return [];
  return [`${dataDir} is a mount point and cannot be renamed: use a directory below it, or snapshot kind zfs or btrfs`];
}
