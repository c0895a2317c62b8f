/**
 * `pgr lab accident`: a real mistake on the primary while the application goes on writing. Says when it was committed, in which
 * transaction, and the last good time: a moment before its first change, after every commit before it.
 */
import type pg from 'pg';

import { withClient } from '../activities/lib/database.js';
import { pollUntil } from '../activities/lib/poll.js';
import { PgrFailure } from '../shared/pgr-failure.js';
import { ACCIDENT_SQL, COMMIT_TIME_SQL, DELETED_SQL, NOW_SQL, XID_SQL, type AccidentKind } from './accident-sql.js';
import { queryNode } from './node-query.js';
import { openLab } from './open.js';
import { LAB_APP_USER, LAB_DATABASE, NODES, type LabPaths, type NodeName } from './paths.js';
import type { LabProgress } from './progress.js';
import { readSecret } from './secrets.js';
import { requireState, type LabState } from './state.js';

export type AccidentReport = {
  kind: AccidentKind;
  story: string;
  node: NodeName;
  /** Commit time, UTC with microseconds. */
  at: string;
  xid: string;
  /** A recovery to this time has everything that was committed before the mistake began, and nothing of the mistake. */
  lastGoodTime: string;
  /** Rows gone, or overwritten by the migration, in all tables. */
  rowsLost: number;
  lost: Record<string, number>;
};

/** Heartbeats come every five seconds and the writer writes at once; longer means that one of them does not run. */
const SOMETHING_TO_LOSE_MS = 60_000;
const MIN_ORDERS = 5;

/** Makes the mistake. Throws NotFound without a lab, PreconditionFailed when nothing was written since the base. */
export async function labAccident(dir: string, kind: AccidentKind, progress: LabProgress): Promise<AccidentReport> {
  const { paths } = await openLab(dir);
  const state = await requireState(paths);
  const node = await findPrimary(paths, state);
  progress.note('waiting until the application and the heartbeat have written something after the base');
  await waitForWrites(paths, state, node);
  return makeMistake(paths, state, node, kind);
}

async function findPrimary(paths: LabPaths, state: LabState): Promise<NodeName> {
  for (const node of NODES) {
    const rows = await queryNode<{ standby: boolean }>(
      paths,
      state,
      node,
      'select pg_is_in_recovery() as standby',
    ).catch(() => []);
    if (rows[0]?.standby === false) return node;
  }
  throw new PgrFailure('DatabaseUnavailable', 'no node of the lab accepts writes', {
    hint: 'run `pgr lab status`; `pgr lab up` starts what is down',
    next: ['pgr lab status', 'pgr lab up'],
  });
}

async function waitForWrites(paths: LabPaths, state: LabState, node: NodeName): Promise<void> {
  const since = state.bases.finishedAt;
  if (since === undefined) {
    throw new PgrFailure('PreconditionFailed', 'the lab has no base yet, so nothing could be recovered', {
      hint: 'run `pgr lab up` to its end',
      next: ['pgr lab up'],
    });
  }
  const seen = await pollUntil(async () => ((await hasWrites(paths, state, node, since)) ? true : null), {
    timeoutMs: SOMETHING_TO_LOSE_MS,
    everyMs: 250,
  });
  if (seen !== null) return;
  throw new PgrFailure(
    'PreconditionFailed',
    'neither the application nor the heartbeat writes, so there is nothing to tell before from after',
    {
      hint: 'run `pgr lab status`: worker and writer must run; their logs are in the directory logs of the lab',
      next: ['pgr lab status', 'pgr lab up'],
    },
  );
}

async function hasWrites(paths: LabPaths, state: LabState, node: NodeName, since: string): Promise<boolean> {
  const [table] = await queryNode<{ there: boolean }>(
    paths,
    state,
    node,
    "select to_regclass('pgr.heartbeat') is not null as there",
  );
  if (table?.there !== true) return false;
  const [row] = await queryNode<{ heartbeats: number; orders: number }>(
    paths,
    state,
    node,
    `select (select count(*)::int from pgr.heartbeat where at > $1::timestamptz) as heartbeats,
            (select count(*)::int from orders where created_at > $1::timestamptz) as orders`,
    [since],
  );
  return row !== undefined && row.heartbeats > 0 && row.orders >= MIN_ORDERS;
}

async function makeMistake(
  paths: LabPaths,
  state: LabState,
  node: NodeName,
  kind: AccidentKind,
): Promise<AccidentReport> {
  const accident = ACCIDENT_SQL[kind];
  const password = await readSecret(paths, 'shop');
  const address = { host: '127.0.0.1', port: state.ports[node], user: LAB_APP_USER, database: LAB_DATABASE, password };
  return withClient({ ...address, statementTimeoutMs: 0, settings: { application_name: 'psql' } }, async (client) => {
    await client.query('begin');
    const lastGoodTime = await readText(client, NOW_SQL, 'at');
    for (const statement of accident.before) await client.query(statement);
    const counted = await countRows(client, accident.counted);
    for (const statement of accident.statements) await client.query(statement);
    const lost = accident.counted.length > 0 ? counted : await countDeleted(client);
    const xid = await readText(client, XID_SQL, 'xid');
    await client.query('commit');
    const at = await readText(client, COMMIT_TIME_SQL, 'at', [xid]);
    const rowsLost = Object.values(lost).reduce((sum, rows) => sum + rows, 0);
    return { kind, story: accident.story, node, at, xid, lastGoodTime, rowsLost, lost };
  });
}

async function countRows(client: pg.Client, tables: readonly string[]): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const table of tables) {
    const { rows } = await client.query<{ rows: number }>(`select count(*)::int as rows from ${table}`);
    counts[table] = rows[0]?.rows ?? 0;
  }
  return counts;
}

async function countDeleted(client: pg.Client): Promise<Record<string, number>> {
  const { rows } = await client.query<{ table: string; rows: number }>(DELETED_SQL);
  return Object.fromEntries(rows.map(({ table, rows: deleted }) => [table, deleted]));
}

async function readText(client: pg.Client, sql: string, column: string, values: unknown[] = []): Promise<string> {
  const { rows } = await client.query<Record<string, string>>(sql, values);
  return rows[0]?.[column] ?? '';
}
