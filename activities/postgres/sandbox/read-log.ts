/** The end of the log of a sandbox server. */
import { open } from 'node:fs/promises';

import { codeOf } from '../data-directory.js';
import { sinceLastStart } from './server-log.js';

/** A restored segment costs one line of about 120 bytes; this covers some 100 GB of WAL since the last start. */
const LOG_BYTES = 1024 * 1024;

/** Lines since the last start of the server; none when there is no log yet. */
export async function readLogSinceStart(logFile: string): Promise<string[]> {
  const handle = await open(logFile, 'r').catch((error: unknown) => {
    if (codeOf(error) === 'ENOENT') return null;
    throw error;
  });
  if (handle === null) return [];
  try {
    const { size } = await handle.stat();
    const length = Math.min(size, LOG_BYTES);
    const { buffer } = await handle.read(Buffer.alloc(length), 0, length, size - length);
    return sinceLastStart(buffer.toString('utf8'));
  } finally {
    await handle.close();
  }
}
