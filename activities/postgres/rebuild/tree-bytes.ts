/** How large a directory is, for results and estimates. */
import { lstat, readdir } from 'node:fs/promises';
import path from 'node:path';

/** Sum of the sizes of all files; files that vanish meanwhile are left out. */
export async function treeBytes(dir: string): Promise<number> {
  const entries = await readdir(dir, { recursive: true, withFileTypes: true });
  let bytes = 0;
  for (const entry of entries) {
    if (!entry.isFile()) continue;
    const facts = await lstat(path.join(entry.parentPath, entry.name)).catch(() => null);
    bytes += facts?.size ?? 0;
  }
  return bytes;
}
