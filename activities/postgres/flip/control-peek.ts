/**
 * A look at pg_control that costs microseconds, for polling while a server shuts down. Only a hint: what it says is proven by pg_controldata before
 * anything rests on it.
 */
import { open } from 'node:fs/promises';
import path from 'node:path';

/** DBState of ControlFileData (src/include/catalog/pg_control.h): behind system_identifier (8 bytes) and two versions (4 each) since PostgreSQL 8. */
const STATE_AT = 16;
const SHUT_DOWN = 1;

/** True when the control file says `shut down`; false for everything else, also when it cannot be read. */
export async function looksShutDown(dataDir: string): Promise<boolean> {
  const buffer = Buffer.alloc(4);
  try {
    const file = await open(path.join(dataDir, 'global', 'pg_control'), 'r');
    try {
      await file.read(buffer, 0, 4, STATE_AT);
    } finally {
      await file.close();
    }
  } catch {
    return false;
  }
  return (process.arch.startsWith('s390') ? buffer.readUInt32BE() : buffer.readUInt32LE()) === SHUT_DOWN;
}
