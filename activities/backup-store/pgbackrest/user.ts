/** As whom pgBackRest runs. */
import { stat } from 'node:fs/promises';

import type { RunAs } from '../../lib/exec.js';

/**
 * Null unless we are root. As root the owner of the first data directory that is on this host: what pgBackRest leaves in its lock, log and spool
 * directories has to belong to the user who archives, or archiving stops. Null also when no data directory is here.
 */
export async function pgbackrestUser(dataDirs: readonly string[]): Promise<RunAs | null> {
  if ((process.getuid?.() ?? -1) !== 0) return null;
  for (const dir of dataDirs) {
    const facts = await stat(dir).catch(() => null);
    if (facts !== null && facts.uid !== 0) return { uid: facts.uid, gid: facts.gid };
  }
  return null;
}
