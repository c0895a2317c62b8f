/**
 * A client of the write address that never stops: it writes one row after the other, remembers what was acknowledged, and asks both nodes all the
 * time whether they accept writes.
 */
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';

import { routedNode } from './flip-files.js';
import type { FlipScene } from './flip-scene.js';

type WriterReport = { acknowledged: number[]; errors: number; longestGapMs: number; bothWritable: string[] };
export type Writer = { stop(): Promise<WriterReport> };

const running = new Set<Writer>();

/** Stops every writer that its test left behind. */
export async function stopAllWriters(): Promise<void> {
  await Promise.all([...running].map((writer) => writer.stop().catch(() => undefined)));
}

export function startWriter(scene: FlipScene): Writer {
  const state = { running: true };
  const report: WriterReport = { acknowledged: [], errors: 0, longestGapMs: 0, bothWritable: [] };
  const work = Promise.all([write(scene, state, report), watch(scene, state, report)]);
  // A writer that fails is heard when it is stopped.
  work.catch(() => undefined);
  const writer: Writer = {
    async stop() {
      state.running = false;
      running.delete(writer);
      await work;
      return report;
    },
  };
  running.add(writer);
  return writer;
}

async function connect(port: number): Promise<pg.Client | null> {
  const client = new pg.Client({
    host: '127.0.0.1',
    port,
    user: 'postgres',
    database: 'postgres',
    connectionTimeoutMillis: 1_000,
    query_timeout: 3_000,
  });
  client.on('error', () => undefined);
  return client.connect().then(
    () => client,
    () => null,
  );
}

async function write(scene: FlipScene, state: { running: boolean }, report: WriterReport): Promise<void> {
  let at: { node: string; client: pg.Client } | null = null;
  let last = performance.now();
  for (let id = 1; state.running; id += 1) {
    const node = routedNode(scene.dir);
    if (at !== null && at.node !== node) {
      // What a fence does to sessions through the router.
      await at.client.end().catch(() => undefined);
      at = null;
    }
    if (node === null) {
      await delay(2);
      continue;
    }
    const client: pg.Client | null = at === null ? await connect(scene.cluster(node).port) : at.client;
    at = client === null ? null : { node, client };
    const done = await (
      client?.query('insert into orders values ($1)', [id]) ?? Promise.reject(new Error('no session'))
    ).then(
      () => true,
      () => false,
    );
    if (done) {
      report.acknowledged.push(id);
      report.longestGapMs = Math.max(report.longestGapMs, performance.now() - last);
      last = performance.now();
    } else {
      report.errors += 1;
      await at?.client.end().catch(() => undefined);
      at = null;
    }
    await delay(5);
  }
  await at?.client.end().catch(() => undefined);
}

/** A server that accepts writes, of both nodes in one moment, is what must never be. */
async function watch(scene: FlipScene, state: { running: boolean }, report: WriterReport): Promise<void> {
  const sessions: Record<string, pg.Client | null> = { dallas: null, chicago: null };
  const isWritable = async (node: string): Promise<boolean> => {
    const client = sessions[node] ?? (await connect(scene.cluster(node).port));
    sessions[node] = client;
    const answer = await client?.query<{ standby: boolean }>('select pg_is_in_recovery() standby').catch(() => null);
    if (answer === null || answer === undefined) {
      await client?.end().catch(() => undefined);
      sessions[node] = null;
    }
    return answer?.rows[0]?.standby === false;
  };
  while (state.running) {
    // One after the other and the first one again: only what holds over the whole look counts.
    const [first, second, again] = [
      await isWritable('dallas'),
      await isWritable('chicago'),
      await isWritable('dallas'),
    ];
    if (first && second && again) report.bothWritable.push(new Date().toISOString());
    await delay(3);
  }
  for (const client of Object.values(sessions)) await client?.end().catch(() => undefined);
}
