/** Which node of an environment is its primary now, asked of the servers themselves. Reads only. */
import { ApplicationFailure } from '@temporalio/common';
import type pg from 'pg';

import type { NodeConfig } from '../../config/schema.js';
import type { MinimumSettings } from '../../shared/contracts/plan.js';
import { largestSettings } from '../../shared/minimum-settings.js';
import { compareLsn, parseLsn, type Lsn } from '../../shared/lsn.js';
import type { ActivityDeps } from '../lib/deps.js';
import { environmentOf } from '../lib/environment-config.js';
import { stepFailure } from '../lib/failure.js';
import { connectNode } from './connection.js';

export type LivePrimary = {
  node: string;
  systemIdentifier: string;
  timeline: number;
  currentLsn: Lsn;
  settings: MinimumSettings;
};

export type LiveNodes = { primary: LivePrimary | null; warnings: string[] };

/** A planner must not wait for a dead host: a server that is well answers in milliseconds, from another continent in half a second. */
const QUICK = { connectTimeoutMs: 2_000, statementTimeoutMs: 3_000 };

type Answer = { node: string; primary: LivePrimary | null; problem: string | null };

/**
 * Asks all nodes at once. No answer is not an error (that is when people recover) but a warning; of two primaries the one of the newer history is
 * taken, and it is said.
 */
export async function findLivePrimary(deps: ActivityDeps, environmentName: string): Promise<LiveNodes> {
  const environment = environmentOf(deps.config, environmentName);
  const answers = await Promise.all(environment.nodes.map((node) => ask(deps, environmentName, node)));
  const primaries = answers.flatMap(({ primary }) => primary ?? []).sort(newerFirst);
  const silent = answers.filter(({ problem }) => problem !== null);
  const [primary = null] = primaries;
  return {
    primary,
    warnings: [
      ...(primary === null ? ['no primary answers: WAL that it has not archived cannot be recovered'] : []),
      ...(primaries.length > 1 ? [`several nodes say that they are primary: ${nodeList(primaries)}`] : []),
      ...silent.map(({ node, problem }) => `${node} does not answer: ${problem ?? ''}`),
    ],
  };
}

function nodeList(primaries: readonly LivePrimary[]): string {
  return primaries.map(({ node, timeline }) => `${node} (timeline ${timeline})`).join(', ');
}

function newerFirst(a: LivePrimary, b: LivePrimary): number {
  return b.timeline - a.timeline || compareLsn(b.currentLsn, a.currentLsn);
}

async function ask(deps: ActivityDeps, environmentName: string, { name }: NodeConfig): Promise<Answer> {
  try {
    const primary = await connectNode(deps, environmentName, name, QUICK, (client) => readPrimary(client, name));
    return { node: name, primary, problem: null };
  } catch (error) {
    // A secret that cannot be resolved is a fault of the configuration; a server that refuses or is silent is a fact about the node.
    if (error instanceof ApplicationFailure && error.type === 'ConfigInvalid') throw error;
    return { node: name, primary: null, problem: error instanceof Error ? error.message : String(error) };
  }
}

type Row = MinimumSettings & { systemIdentifier: string; lsn: string; walFile: string };

/** Null for a standby. The timeline is that of the WAL being written: pg_control learns of a promotion at the next checkpoint only. */
async function readPrimary(client: pg.Client, node: string): Promise<LivePrimary | null> {
  const { rows: states } = await client.query<{ recovering: boolean }>('select pg_is_in_recovery() as recovering');
  if (states[0]?.recovering !== false) return null;
  const { rows } = await client.query<Row>(
    `select (select system_identifier::text from pg_control_system()) as "systemIdentifier",
            pg_current_wal_flush_lsn()::text as lsn, pg_walfile_name(pg_current_wal_insert_lsn()) as "walFile",
            current_setting('max_connections')::int as "maxConnections",
            current_setting('max_worker_processes')::int as "maxWorkerProcesses",
            current_setting('max_wal_senders')::int as "maxWalSenders",
            current_setting('max_prepared_transactions')::int as "maxPreparedTransactions",
            current_setting('max_locks_per_transaction')::int as "maxLocksPerTransaction"`,
  );
  const row = rows[0];
  const currentLsn = parseLsn(row?.lsn ?? '');
  if (row === undefined || currentLsn === null) throw stepFailure('Bug', `${node} did not say where its WAL ends`);
  return {
    node,
    systemIdentifier: row.systemIdentifier,
    timeline: Number.parseInt(row.walFile.slice(0, 8), 16),
    currentLsn,
    settings: largestSettings(row),
  };
}
