/** Row counts of the sandbox against the live primary, as a difference for people to judge. */
import os from 'node:os';
import type pg from 'pg';

import type { EvidenceCheck, TableCount } from '../../../shared/contracts/sandbox.js';
import { withClient, type ClientOptions } from '../../lib/database.js';
import type { ActivityDeps } from '../../lib/deps.js';
import { connectNode } from '../connection.js';
import { countRows, type RowCounts } from './count-rows.js';
import { checkOf } from './evidence.js';

/** A count waits for a lock this long at most; on the primary it would otherwise queue behind an ALTER and hold up everybody else. */
const LOCK_TIMEOUT = '2s';
const CONNECT_TIMEOUT_MS = 3_000;
/** All counts together may take this many times the limit of one. */
const TOTAL_TIMES = 3;

export type CountInput = {
  deps: Pick<ActivityDeps, 'config' | 'resolveSecret'>;
  environment: string;
  /** Address of the environment's database in the sandbox. */
  sandbox: ClientOptions;
  statementTimeoutMs: number;
  /** Tables that are not logged: empty after a recovery, unless it was none. */
  unlogged?: 'kept';
};

export type CountResult = { check: EvidenceCheck; counts: TableCount[] };

/** One row of evidence and all counts, largest difference first. The primary may be down: then there is nothing to compare with. */
export async function rowCountCheck(input: CountInput): Promise<CountResult> {
  const deadlineMs = Date.now() + TOTAL_TIMES * input.statementTimeoutMs;
  let counts: TableCount[] = [];
  const check = await checkOf('row-counts', 'every table can be read', async () => {
    const [sandbox, production] = await Promise.all([
      countSandbox(input, deadlineMs),
      countPrimary(input, deadlineMs).catch(() => null),
    ]);
    counts = compareCounts(sandbox, production);
    return outcomeOf(sandbox, production, counts);
  });
  return { check, counts };
}

async function countSandbox(input: CountInput, deadlineMs: number): Promise<RowCounts> {
  const options: ClientOptions = {
    ...input.sandbox,
    statementTimeoutMs: input.statementTimeoutMs,
    settings: { lock_timeout: LOCK_TIMEOUT },
  };
  return withClients(options, Math.min(4, os.availableParallelism()), (clients) =>
    countRows(clients, deadlineMs, input.unlogged),
  );
}

async function withClients<T>(
  options: ClientOptions,
  count: number,
  work: (clients: pg.Client[]) => Promise<T>,
  opened: pg.Client[] = [],
): Promise<T> {
  if (opened.length === count) return work(opened);
  return withClient(options, (client) => withClients(options, count, work, [...opened, client]));
}

/** One session without parallel workers and with limits: counting must not hurt production. Null when no primary answers. */
async function countPrimary(input: CountInput, deadlineMs: number): Promise<RowCounts | null> {
  const { deps, environment } = input;
  for (const node of deps.config.environments[environment]?.nodes ?? []) {
    const options = {
      connectTimeoutMs: CONNECT_TIMEOUT_MS,
      statementTimeoutMs: input.statementTimeoutMs,
      settings: {
        lock_timeout: LOCK_TIMEOUT,
        default_transaction_read_only: 'on',
        max_parallel_workers_per_gather: '0',
      },
    };
    const counted = await connectNode(deps, environment, node.name, options, async (client) => {
      const { rows } = await client.query<{ standby: boolean }>('select pg_is_in_recovery() as standby');
      return rows[0]?.standby === false ? countRows([client], deadlineMs) : null;
    }).catch(() => null);
    if (counted !== null) return counted;
  }
  return null;
}

/** All tables of both sides; a table that production does not have has null there, one that only production has counts 0 in the sandbox. */
export function compareCounts(sandbox: RowCounts, production: RowCounts | null): TableCount[] {
  const inProduction = new Map((production?.counted ?? []).map(({ table, rows }) => [table, rows]));
  const known = new Set([...sandbox.counted, ...sandbox.uncounted].map(({ table }) => table));
  const counts = [
    ...sandbox.counted.map(({ table, rows }) => ({
      table,
      sandbox: rows,
      production: inProduction.get(table) ?? null,
    })),
    ...(production?.counted ?? [])
      .filter(({ table }) => !known.has(table))
      .map(({ table, rows }) => ({ table, sandbox: 0, production: rows })),
  ];
  const difference = (count: TableCount): number => Math.abs(count.sandbox - (count.production ?? 0));
  return counts.sort((a, b) => difference(b) - difference(a) || a.table.localeCompare(b.table));
}

function outcomeOf(
  sandbox: RowCounts,
  production: RowCounts | null,
  counts: readonly TableCount[],
): { actual: string; ok: boolean; note?: string } {
  const differ = counts.filter((count) => count.production !== count.sandbox).length;
  const compared =
    production === null ? 'no primary answered to compare with' : `${String(differ)} differ from the primary`;
  // A table that is locked or too large is named; one that cannot be read is damage.
  const unreadable = sandbox.uncounted.filter(({ why, locked }) => !locked && !/^it |^no time/.test(why));
  const notes = [...sandbox.uncounted].slice(0, 10).map(({ table, why }) => `${table}: ${why}`);
  return {
    actual: `${String(sandbox.counted.length)} tables counted, ${compared}`,
    ok: unreadable.length === 0,
    ...(notes.length === 0 ? {} : { note: `not counted: ${notes.join('; ')}` }),
  };
}
