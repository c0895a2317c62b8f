/** One SHA-256 per file of a directory tree, to prove that nothing in it changed. */
import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';

/** By relative path. */
export async function directoryChecksums(dir: string): Promise<Record<string, string>> {
  const entries = await readdir(dir, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map((entry) => path.join(entry.parentPath, entry.name));
  const sums = await Promise.all(
    files.map(
      async (file) =>
        [
          path.relative(dir, file),
          createHash('sha256')
            .update(await readFile(file))
            .digest('hex'),
        ] as const,
    ),
  );
  return Object.fromEntries(sums.sort(([a], [b]) => (a < b ? -1 : 1)));
}
