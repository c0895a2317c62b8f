/** One client as an application with a fast reconnect: a row every 5 ms, every acknowledged row remembered, every error counted. */
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';

export type ClientReport = {
  /** Longest time between two acknowledged writes; before the first one nothing counts. */
  outageMs: number;
  errors: number;
  acknowledged: number[];
};

const EVERY_MS = 5;
const RETRY_MS = 5;
const CONNECT_TIMEOUT_MS = 1_000;

/** Table that the client writes to. */
export const CLIENT_TABLE =
  'create table if not exists flip_bench (id bigint primary key, at timestamptz default clock_timestamp())';

/** Starts writing ids from `firstId` on through `url`; `stop` returns what it saw, `acknowledged` how many rows so far. */
export function startClient(url: string, firstId: number): { acknowledged(): number; stop(): Promise<ClientReport> } {
  const report: ClientReport = { outageMs: 0, errors: 0, acknowledged: [] };
  const state = { stopped: false };
  const done = write(url, firstId, report, state);
  return {
    acknowledged: () => report.acknowledged.length,
    async stop() {
      state.stopped = true;
      await done;
      return report;
    },
  };
}

async function write(url: string, firstId: number, report: ClientReport, state: { stopped: boolean }): Promise<void> {
  let client: pg.Client | null = null;
  let id = firstId;
  let last: number | null = null;
  while (!state.stopped) {
    try {
      client ??= await connected(url);
      // A row whose acknowledgement was lost may be there: the same id again is the same row.
      await client.query('insert into flip_bench (id) values ($1) on conflict do nothing', [id]);
      const now = performance.now();
      report.outageMs = Math.max(report.outageMs, now - (last ?? now));
      last = now;
      report.acknowledged.push(id);
      id += 1;
      await sleep(EVERY_MS);
    } catch {
      if (last !== null) report.errors += 1;
      const old: pg.Client | null = client;
      client = null;
      void old?.end().catch(() => undefined);
      await sleep(RETRY_MS);
    }
  }
  await client?.end().catch(() => undefined);
}

async function connected(url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: CONNECT_TIMEOUT_MS });
  client.on('error', () => undefined);
  await client.connect();
  return client;
}
