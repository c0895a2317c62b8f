/** Questions to a node of the lab, asked as its superuser. */
import type pg from 'pg';

import { withClient } from '../activities/lib/database.js';
import { LAB_DATABASE, LAB_SUPERUSER, type LabPaths, type NodeName } from './paths.js';
import { readSecret } from './secrets.js';
import type { LabState } from './state.js';

/** Runs `work` in a session with one node. Throws DatabaseUnavailable when it does not answer. */
async function withNode<T>(
  paths: LabPaths,
  state: LabState,
  node: NodeName,
  work: (client: pg.Client) => Promise<T>,
  options: { statementTimeoutMs?: number; connectTimeoutMs?: number; database?: string } = {},
): Promise<T> {
  const password = await readSecret(paths, 'postgres');
  const address = { host: '127.0.0.1', port: state.ports[node], user: LAB_SUPERUSER, database: LAB_DATABASE, password };
  return withClient({ ...address, ...options }, work);
}

/** Rows of one statement. */
export async function queryNode<Row extends pg.QueryResultRow>(
  paths: LabPaths,
  state: LabState,
  node: NodeName,
  sql: string,
  values: unknown[] = [],
): Promise<Row[]> {
  return withNode(paths, state, node, async (client) => (await client.query<Row>(sql, values)).rows);
}
