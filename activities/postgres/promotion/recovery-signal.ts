/** Signal files of a data directory (PostgreSQL docs, "Archive Recovery"). */
import { rm, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { giveTo, pathExists, syncDirectory, type Owner } from '../data-directory.js';

/** The rest of the recovery is an archive recovery: `recovery.signal` is there, `standby.signal` is not. */
export async function signalRecovery(dataDir: string, owner: Owner): Promise<void> {
  await rm(path.join(dataDir, 'standby.signal'), { force: true });
  const file = path.join(dataDir, 'recovery.signal');
  if (!(await pathExists(file))) {
    await writeFile(file, '', { mode: 0o600 });
    await giveTo(file, owner);
  }
  await syncDirectory(dataDir);
}
