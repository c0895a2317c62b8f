/**
 * On which node a session through the write address has landed. A VIP hides addresses, and both nodes may have the same port and data directory, so each
 * node is asked directly whether it has the server process of this session: pid and start in microseconds together belong to one server only.
 */
import type pg from 'pg';

import type { EnvironmentConfig, NodeConfig } from '../../config/schema.js';
import type { ActivityDeps } from '../lib/deps.js';
import { withClient } from '../lib/database.js';
import { isFailureOf } from '../lib/failure.js';

type Session = { pid: number; startedAt: string };

const ASK_MS = 2_000;
const OWN = `
  select pid, extract(epoch from backend_start)::text as "startedAt" from pg_stat_activity where pid = pg_backend_pid()`;
const HERE = `
  select exists (select from pg_stat_activity
                  where pid = $1 and extract(epoch from backend_start)::text = $2) as here`;

/** Name of the node; null when no node that answers has it. Through a pooler in transaction mode this runs in one transaction, which pins the session. */
export async function nodeOfSession(
  deps: Pick<ActivityDeps, 'resolveSecret'>,
  environment: Pick<EnvironmentConfig, 'nodes' | 'postgres'>,
  client: pg.Client,
): Promise<string | null> {
  await client.query('begin read only');
  try {
    const { rows } = await client.query<Session>(OWN);
    const [session] = rows;
    if (session === undefined) return null;
    const answers = await Promise.all(environment.nodes.map((node) => hasSession(deps, environment, node, session)));
    const [only, ...more] = environment.nodes.filter((_, index) => answers[index] === true);
    return only === undefined || more.length > 0 ? null : only.name;
  } finally {
    await client.query('rollback');
  }
}

async function hasSession(
  { resolveSecret }: Pick<ActivityDeps, 'resolveSecret'>,
  { postgres }: Pick<EnvironmentConfig, 'postgres'>,
  { address: host, port }: NodeConfig,
  { pid, startedAt }: Session,
): Promise<boolean> {
  const { user, database, password: reference } = postgres;
  const password = reference === undefined ? null : await resolveSecret(reference);
  const limits = { connectTimeoutMs: ASK_MS, statementTimeoutMs: ASK_MS };
  try {
    return await withClient({ host, port, user, database, password, ...limits }, async (client) => {
      const { rows } = await client.query<{ here: boolean }>(HERE, [pid, startedAt]);
      return rows[0]?.here === true;
    });
  } catch (error) {
    if (isFailureOf(error, 'DatabaseUnavailable')) return false;
    throw error;
  }
}
