/**
 * Looks at a routed pair from outside, all the time, whatever is done to it: clients that write through the pooler and through the write VIP and remember
 * what was acknowledged by whom, sessions with both nodes, and the pooler's console. Knows nothing of flips.
 */
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';

import { waitFor } from './flip-scene.js';
import type { RoutedScene } from './routed-scene.js';

/** One acknowledged write. `port` and `timeline` are those of the server that took it. */
export type Ack = {
  path: 'pooler' | 'vip';
  id: number;
  xid: string;
  port: number;
  timeline: number;
  startMs: number;
  endMs: number;
};

export type Observer = {
  acks: readonly Ack[];
  /** Moments in which both nodes said to their own clients that they accept writes. */
  bothWritable: readonly string[];
  /** The longest time that clients of the pooler were paused while nobody was at work (`goneSince`). */
  longestDeadPauseMs(): number;
  /** Whoever pauses is gone from now on, or (`null`) at work. */
  setGone(gone: boolean): void;
  /** Writes through both paths were acknowledged that began after this call. */
  progress(timeoutMs?: number): Promise<void>;
  paused(): boolean;
  errors(): number;
  stop(): Promise<void>;
};

const WRITE = `insert into orders (id) values ($1)
  returning pg_current_xact_id()::text as xid, inet_server_port() as port,
            ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::int as timeline`;

type State = {
  running: boolean;
  nextId: number;
  errors: number;
  paused: boolean;
  goneAt: number | null;
  longest: number;
};

export function startObserver({ scene, haproxy, pgbouncer }: RoutedScene): Observer {
  const state: State = { running: true, nextId: 1, errors: 0, paused: false, goneAt: null, longest: 0 };
  const acks: Ack[] = [];
  const both: string[] = [];
  const work = Promise.all([
    write(state, acks, 'pooler', pgbouncer.port),
    write(state, acks, 'pooler', pgbouncer.port),
    write(state, acks, 'vip', haproxy.port),
    watchNodes(state, both, [scene.dallas.port, scene.chicago.port]),
    watchPooler(state, pgbouncer.port, pgbouncer.adminUser),
  ]);
  work.catch(() => undefined);
  return {
    acks,
    bothWritable: both,
    longestDeadPauseMs: () => state.longest,
    setGone: (gone) => {
      state.goneAt = gone ? performance.now() : null;
    },
    async progress(timeoutMs = 20_000) {
      const since = performance.now();
      const fresh = (way: Ack['path']): boolean => acks.some((ack) => ack.path === way && ack.startMs > since);
      await waitFor(() => Promise.resolve(fresh('pooler') && fresh('vip')), timeoutMs);
    },
    paused: () => state.paused,
    errors: () => state.errors,
    async stop() {
      state.running = false;
      await work;
    },
  };
}

async function connect(port: number, more: pg.ClientConfig = {}): Promise<pg.Client | null> {
  const limits = { connectionTimeoutMillis: 2_000, query_timeout: 20_000 };
  const client = new pg.Client({ host: '127.0.0.1', port, user: 'postgres', database: 'postgres', ...limits, ...more });
  client.on('error', () => undefined);
  return client.connect().then(
    () => client,
    () => {
      void client.end().catch(() => undefined);
      return null;
    },
  );
}

/** Never waits: a server that is frozen does not say goodbye. */
function drop(client: pg.Client | null): null {
  void client?.end().catch(() => undefined);
  return null;
}

async function write(state: State, acks: Ack[], path: Ack['path'], port: number): Promise<void> {
  let client: pg.Client | null = null;
  while (state.running) {
    client ??= await connect(port, { query_timeout: path === 'vip' ? 2_000 : 20_000 });
    const id = state.nextId;
    state.nextId += 1;
    const startMs = performance.now();
    try {
      const row = (await client?.query<{ xid: string; port: number; timeline: number }>(WRITE, [id]))?.rows[0];
      if (row === undefined) throw new Error('no session');
      acks.push({ path, id, ...row, startMs, endMs: performance.now() });
    } catch {
      state.errors += 1;
      client = drop(client);
    }
    await delay(8);
  }
  drop(client);
}

async function watchNodes(state: State, both: string[], [a = 0, b = 0]: number[]): Promise<void> {
  const sessions = new Map<number, pg.Client | null>();
  const isWritable = async (port: number): Promise<boolean> => {
    const client = sessions.get(port) ?? (await connect(port, { connectionTimeoutMillis: 300, query_timeout: 300 }));
    sessions.set(port, client);
    const answer = await client?.query<{ standby: boolean }>('select pg_is_in_recovery() standby').catch(() => null);
    if (answer === null || answer === undefined) sessions.set(port, drop(client));
    return answer?.rows[0]?.standby === false;
  };
  while (state.running) {
    // One after the other and the first one again: only what holds over the whole look counts.
    if ((await isWritable(a)) && (await isWritable(b)) && (await isWritable(a))) both.push(new Date().toISOString());
    await delay(4);
  }
  for (const client of sessions.values()) drop(client);
}

async function watchPooler(state: State, port: number, user: string): Promise<void> {
  let console: pg.Client | null = null;
  let since: number | null = null;
  while (state.running) {
    console ??= await connect(port, { user, database: 'pgbouncer', query_timeout: 1_000 });
    const answer = await console?.query<{ name: string; paused: number | string }>('SHOW DATABASES').catch(() => null);
    if (answer === null || answer === undefined) console = drop(console);
    state.paused = answer?.rows.some(({ name, paused }) => name !== 'pgbouncer' && Number(paused) === 1) ?? false;
    const now = performance.now();
    since = state.paused ? (since ?? now) : null;
    if (since !== null && state.goneAt !== null) {
      state.longest = Math.max(state.longest, now - Math.max(since, state.goneAt));
    }
    await delay(25);
  }
  drop(console);
}

/** Writes that went to a node after another one had taken over: whatever began after an acknowledgement is on the same timeline or a later one. */
export function findStrays(acks: readonly Ack[]): string[] {
  const byEnd = [...acks].sort((one, other) => one.endMs - other.endMs);
  const byStart = [...acks].sort((one, other) => one.startMs - other.startMs);
  const portOf = new Map<number, number>();
  const strays: string[] = [];
  let [next, latest] = [0, 0];
  for (const ack of byStart) {
    for (; (byEnd[next]?.endMs ?? Infinity) < ack.startMs; next += 1)
      latest = Math.max(latest, byEnd[next]?.timeline ?? 0);
    if (ack.timeline < latest)
      strays.push(`${ack.path} wrote ${String(ack.id)} on timeline ${String(ack.timeline)} after ${String(latest)}`);
    const port = portOf.get(ack.timeline) ?? ack.port;
    portOf.set(ack.timeline, port);
    if (port !== ack.port)
      strays.push(`timeline ${String(ack.timeline)} was written by ports ${String(port)} and ${String(ack.port)}`);
  }
  return strays;
}
