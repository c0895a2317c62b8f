/** What psql and pg_restore say went wrong: every error counted, none with rows in it. Pure. */
import type { RestoreError } from '../../../shared/contracts/dump.js';

/** As many as go into results; all of them are counted, and all stand in the log of the job. */
export const MOST_ERRORS = 50;
const LONGEST = 300;

/** Errors after which the database is the same as without them. */
const HARMLESS: readonly RegExp[] = [
  // The superuser of the new cluster, in a script that makes every role.
  /role ".*" already exists/,
  /schema "public" already exists/,
  // A newer pg_dump sets what an older server does not know.
  /unrecognized configuration parameter "(transaction_timeout|idle_in_transaction_session_timeout|row_security)"/,
];

/** The error in a line of output; null for warnings, details, contexts and statements, which may show rows. */
export function errorOf(line: string): RestoreError | null {
  const found = /(?:^psql:.*?|^pg_restore: error: (?:.*?))?\b(?:ERROR|FATAL|PANIC): +(.*)$/.exec(line);
  const own = /^(?:pg_restore|psql|pg_dump|vacuumdb): error: (.*)$/.exec(line);
  const table = /COPY failed for table "([^"]*)"/.exec(line)?.[1];
  const message = found?.[1] ?? own?.[1];
  if (message === undefined) return null;
  const text = `${table === undefined ? '' : `table ${table}: `}${message}`.slice(0, LONGEST);
  return { message: text, harmless: HARMLESS.some((pattern) => pattern.test(text)) };
}

/** pg_restore goes on after an error and says at its end how many there were; without that line it ended before. */
export function cameToItsEnd(exitCode: number | null, lastLines: readonly string[]): boolean {
  if (exitCode === 0) return true;
  return exitCode === 1 && lastLines.some((line) => /^pg_restore: warning: errors ignored on restore: \d+$/.test(line));
}
