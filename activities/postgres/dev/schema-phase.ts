/** Makes the new database with empty tables. An attempt that was killed before its end begins with a new one: it takes seconds. */
import type pg from 'pg';

import { faultPoint } from '../../lib/fault-points.js';
import { readTocOf } from './archive.js';
import { contentOf } from './content.js';
import { dropDatabase, openNext } from './databases.js';
import { fingerprintOf } from './fingerprint.js';
import {
  inSessions,
  isRefused,
  runStatement,
  saidOf,
  stateOf,
  statementFailure,
  type Outcome,
  type Phase,
} from './phase.js';
import { createState, readState, type DevState } from './state.js';
import type { TocEntry } from './toc.js';

const FAULT_HALF = 'restore-dev:schema-half';
const FAULT_DONE = 'restore-dev:schema-done';
/** What `create schema public` in an archive says: every database has it. */
const DUPLICATE_SCHEMA = '42P06';

/** Idempotent: a whole schema of the same content is left as it is, with everything that is loaded into it. */
export async function schemaPhase(phase: Phase): Promise<Outcome> {
  const { plan, server, names, maintenance } = phase;
  const fingerprint = fingerprintOf(plan);
  if ((await openNext(maintenance, server, names, fingerprint)) === 'found') {
    const state = await inSessions(phase, names.next, 1, ([client]) => readState(only(client)));
    if (state !== null)
      return { outcome: 'already-done', notes: ['going on with the database that an earlier attempt began'] };
    await dropDatabase(maintenance, names.next);
    await openNext(maintenance, server, names, fingerprint);
  }
  return inSessions(phase, names.next, 1, async ([one]) => {
    const client = only(one);
    const problems = phase.file.whole ? [] : await makeTables(phase, client);
    await createState(client, stateOfPlan(phase, fingerprint));
    faultPoint(FAULT_DONE);
    return { problems };
  });
}

/** One of one. */
export function only(client: pg.Client | undefined): pg.Client {
  if (client === undefined) throw new TypeError('there is no session');
  return client;
}

function stateOfPlan({ plan }: Phase, fingerprint: string): DevState {
  const { environment, source, dump, mode, postRestore } = plan;
  return { fingerprint, environment, source, dump, mode, deferred: [], postRestore: postRestore.length > 0 };
}

async function makeTables({ plan, file, progress }: Phase, client: pg.Client): Promise<string[]> {
  const toc = await readTocOf(file.path);
  const { schema } = contentOf(toc, { deferred: plan.deferred });
  const problems: string[] = [];
  let accessMethod = 'heap';
  for (const [at, entry] of schema.entries()) {
    if (entry.accessMethod !== null && entry.accessMethod !== '' && entry.accessMethod !== accessMethod) {
      accessMethod = entry.accessMethod;
      await client.query(`set default_table_access_method = ${client.escapeIdentifier(accessMethod)}`);
    }
    const problem = await make(client, entry);
    if (problem !== null) problems.push(problem);
    progress({ done: at + 1, total: schema.length, unit: 'bytes', note: `${entry.desc} ${entry.tag}` });
    if (at === Math.floor(schema.length / 2)) faultPoint(FAULT_HALF);
  }
  return problems;
}

/** Returns what was refused of what nothing depends on: comments. Throws CommandFailed for the rest. */
async function make(client: pg.Client, entry: TocEntry): Promise<string | null> {
  const { sql, desc, tag } = entry;
  if (sql.trim() === '') return null;
  try {
    await runStatement(client, async () => {
      await client.query(sql);
    });
    return null;
  } catch (error) {
    if (desc === 'SCHEMA' && stateOf(error) === DUPLICATE_SCHEMA) return null;
    const what = `${desc} ${tag} cannot be made`;
    if (desc === 'COMMENT' && isRefused(error)) return `${what}: ${saidOf(error)}`;
    throw statementFailure(what, error);
  }
}
