import { randomUUID } from 'node:crypto';
import { chown, rename, writeFile } from 'node:fs/promises';

/**
 * Writes a small file under a name of its own and renames it: who finds the file reads all of it, also beside other writers and after the death of one.
 * With `flush` its text is on the disk before it has its name; the directory is the caller's to flush.
 */
export async function writeWhole(
  file: string,
  text: string,
  options: { mode?: number; owner?: { uid: number; gid: number } | undefined; flush?: boolean } = {},
): Promise<void> {
  const { mode = 0o600, owner, flush = false } = options;
  const temporary = `${file}.${randomUUID().slice(0, 8)}.tmp`;
  await writeFile(temporary, text, { mode, flush });
  if (owner) await chown(temporary, owner.uid, owner.gid);
  await rename(temporary, file);
}
