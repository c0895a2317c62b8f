/** Names of a developer's databases and of what pgr keeps in them. Pure. */
import { stepFailure } from '../../lib/failure.js';

/** Schema in the restored database that says what is loaded. */
export const STATE_SCHEMA = 'pgr_restore';

const LONGEST_NAME = 63;

export type DatabaseNames = { current: string; next: string; previous: string };

/** Throws BadUsage for a name that leaves no room for the endings (PostgreSQL cuts names at 63 bytes). */
export function databaseNames(database: string): DatabaseNames {
  const names = { current: database, next: `${database}__pgr_new`, previous: `${database}__pgr_previous` };
  if (Buffer.byteLength(names.previous) <= LONGEST_NAME) return names;
  throw stepFailure(
    'BadUsage',
    `the name ${database} is too long: the previous copy would be called ${names.previous}`,
  );
}

/** Databases that belong to the server and are never replaced. */
export const SERVER_DATABASES: readonly string[] = ['postgres', 'template0', 'template1'];
