/** Small files of the lab, replaced so that a crash leaves the old text or the new one. */
import { chmod, chown, open, readFile, rename } from 'node:fs/promises';

import { PgrFailure } from '../shared/pgr-failure.js';

export type FileAccess = { mode: number; uid?: number; gid?: number };

/** Writes `text` beside the file, gives it mode and owner, syncs it and renames it over the file. */
export async function replaceText(path: string, text: string, access: FileAccess): Promise<void> {
  const temporary = `${path}.tmp-${process.pid}`;
  const file = await open(temporary, 'w', access.mode);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
  await chmod(temporary, access.mode);
  if (access.gid !== undefined) await chown(temporary, access.uid ?? process.getuid?.() ?? 0, access.gid);
  await rename(temporary, path);
}

/** Text of a file, null when there is none; any other trouble throws. */
export async function readText(path: string): Promise<string | null> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw new PgrFailure(
      'PreconditionFailed',
      `cannot read ${path}: ${(error as NodeJS.ErrnoException).code ?? 'unknown'}`,
      {
        hint: 'run this as the user who made the lab',
        cause: error,
      },
    );
  }
}
