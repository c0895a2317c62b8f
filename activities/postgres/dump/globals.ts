/** Roles of a cluster: the output of `pg_dumpall --globals-only`. It holds password hashes, so nothing of its text is ever shown. */
import { stepFailure } from '../../lib/failure.js';
import { identifyDump, sqlOf } from './read-dump.js';
import { createSqlScanner } from './sql-scan.js';

/** The roles that a file of globals makes. Throws NotFound, or BackupCorrupt for a file that is something else or not whole. */
export async function readGlobals(path: string): Promise<{ roles: string[] }> {
  const file = await identifyDump(path);
  if (file.format !== 'plain') {
    throw stepFailure('BadUsage', `${path} is an archive of a database, not a file of globals`, {
      hint: 'make one with `pg_dumpall --globals-only > globals.sql`',
    });
  }
  const scanner = createSqlScanner();
  for await (const piece of sqlOf(file)) scanner.push(piece);
  const { kind, complete, rolesMade, rows } = scanner.end();
  if (kind !== 'cluster' || rows > 0) {
    throw stepFailure('BadUsage', `${path} is not a file of globals`, {
      hint: 'make one with `pg_dumpall --globals-only > globals.sql`',
    });
  }
  if (!complete) throw stepFailure('BackupCorrupt', `${path} is cut off: its last line is not there`);
  return { roles: rolesMade };
}
