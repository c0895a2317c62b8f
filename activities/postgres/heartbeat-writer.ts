/**
 * Writes a row into `pgr.heartbeat` every few seconds, through the write address of an environment. After a recovery to T the last row says
 * to the second how far the copy goes. It never throws and never holds up the end of the worker: a missing row costs evidence, nothing else.
 */
import { hostname } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import type pg from 'pg';

import { withClient, type DatabaseAddress } from '../lib/database.js';
import type { ActivityDeps } from '../lib/deps.js';
import { environmentOf } from '../lib/environment-config.js';
import { parseMultihostUrl } from '../lib/multihost-url.js';

export type HeartbeatWriter = { start(): void; stop(): Promise<void> };

/** A beat that takes longer is worthless: the next one is due. */
const BEAT_TIMEOUT_MS = 3_000;
/** The worker's end waits this long for the beat that is on its way. */
const STOP_TIMEOUT_MS = 1_000;
const PRUNE_EVERY_BEATS = 100;

type Deps = Pick<ActivityDeps, 'config' | 'resolveSecret' | 'log'>;

const MAKE_TABLE = [
  'create schema if not exists pgr',
  'create table if not exists pgr.heartbeat (at timestamptz primary key, source text not null)',
];
const PRUNE = `delete from pgr.heartbeat where at < now() - interval '2 days'`;
const BEAT = 'insert into pgr.heartbeat (at, source) values (clock_timestamp(), $1) on conflict do nothing';

/** Not running yet; does nothing for an environment whose heartbeat is off. */
export function createHeartbeatWriter(deps: Deps, environmentName: string): HeartbeatWriter {
  const stopping = new AbortController();
  let running: Promise<void> | null = null;
  return {
    start() {
      const { enabled, every } = environmentOf(deps.config, environmentName).heartbeat;
      if (enabled && !stopping.signal.aborted)
        running ??= beatUntilStopped(deps, environmentName, every, stopping.signal);
    },
    async stop() {
      stopping.abort();
      await Promise.race([running, delay(STOP_TIMEOUT_MS, undefined, { ref: false })]);
    },
  };
}

async function beatUntilStopped(deps: Deps, name: string, everySeconds: number, stop: AbortSignal): Promise<void> {
  let lastProblem: string | null = null;
  for (let beat = 0; !stop.aborted; beat += 1) {
    const problem = await writeHeartbeat(deps, name, { prune: beat % PRUNE_EVERY_BEATS === 0 }).catch(reasonOf);
    // Said once, not every five seconds of an outage.
    if (problem !== null && problem !== lastProblem) {
      deps.log.warn({ environment: name, problem }, 'no heartbeat could be written');
    }
    if (problem === null && lastProblem !== null) deps.log.info({ environment: name }, 'heartbeats are written again');
    lastProblem = problem;
    await delay(everySeconds * 1_000, undefined, { signal: stop, ref: false }).catch(() => undefined);
  }
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Writes one row on the first server of the write address that accepts writes; null when it was written, else what was in the way. */
export async function writeHeartbeat(deps: Deps, name: string, options: { prune: boolean }): Promise<string | null> {
  const { postgres, routing } = environmentOf(deps.config, name);
  const password = postgres.password === undefined ? null : await deps.resolveSecret(postgres.password);
  const problems: string[] = [];
  for (const target of parseMultihostUrl(routing.url).hosts) {
    const address = { ...target, user: postgres.user, database: postgres.database, password };
    const problem = await beatOn(address, options.prune).catch(reasonOf);
    if (problem === null) return null;
    problems.push(problem);
  }
  return problems.join('; ');
}

async function beatOn(address: DatabaseAddress, prune: boolean): Promise<string | null> {
  const where = `${address.host}:${String(address.port)}`;
  const limits = { connectTimeoutMs: BEAT_TIMEOUT_MS, statementTimeoutMs: BEAT_TIMEOUT_MS };
  return withClient({ ...address, ...limits }, async (client) => {
    if (!(await acceptsWrites(client))) return `${where} is read-only`;
    await makeTable(client);
    if (prune) await client.query(PRUNE);
    await client.query(BEAT, [`${hostname()}:${String(process.pid)}`]);
    return null;
  });
}

async function acceptsWrites(client: pg.Client): Promise<boolean> {
  const { rows } = await client.query<{ yes: boolean }>(
    `select not pg_is_in_recovery() and not current_setting('default_transaction_read_only')::boolean as yes`,
  );
  return rows[0]?.yes === true;
}

/** Looks before it makes: a role without the right to create may still write into a table that is there. */
async function makeTable(client: pg.Client): Promise<void> {
  const { rows } = await client.query<{ yes: boolean }>(`select to_regclass('pgr.heartbeat') is not null as yes`);
  if (rows[0]?.yes === true) return;
  for (const statement of MAKE_TABLE) await client.query(statement);
}
