/** A pg-health of its own for a test server, and questions to it. */
import { mkdtemp, rm } from 'node:fs/promises';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { startHealth, type HealthPlace, type RunningHealth } from '../../../workers/pg-health-start.js';
import type { Cluster } from '../../support/cluster.js';

export type Answer = { status: number; body: Record<string, unknown>; text: string; ms: number };
export type TestHealth = RunningHealth & { stateDir: string; logged: Record<string, unknown>[] };

const running = new Set<TestHealth>();

/** Listens on a free port when it returns; `prepare` gets its state directory before it starts. */
export async function healthOfCluster(
  cluster: Pick<Cluster, 'port'>,
  change: Partial<HealthPlace['login']> = {},
  prepare: (stateDir: string) => Promise<unknown> = () => Promise.resolve(),
): Promise<TestHealth> {
  const stateDir = await mkdtemp(path.join(tmpdir(), 'pgr-health-'));
  await prepare(stateDir);
  const logged: Record<string, unknown>[] = [];
  const started = await startHealth(
    {
      environment: 'shop',
      node: 'dallas',
      stateDir,
      listen: { host: '127.0.0.1', port: 0 },
      login: {
        host: '127.0.0.1',
        port: cluster.port,
        user: 'postgres',
        database: 'postgres',
        password: () => Promise.resolve(null),
        ...change,
      },
    },
    (fields) => logged.push(fields),
  );
  const health = { ...started, stateDir, logged };
  running.add(health);
  return health;
}

/** For afterEach. */
export async function stopAllHealth(): Promise<void> {
  for (const health of running) {
    await health.stop();
    await rm(health.stateDir, { recursive: true, force: true });
    running.delete(health);
  }
}

/** One request over a connection of its own. Fails after five seconds: pg-health never hangs. */
export async function ask(health: { port: number }, url: string, method = 'GET'): Promise<Answer> {
  const startedAt = performance.now();
  return new Promise((resolve, reject) => {
    const call = request(
      { host: '127.0.0.1', port: health.port, path: url, method, agent: false, timeout: 5_000 },
      (response) => {
        let text = '';
        response.setEncoding('utf8');
        response.on('data', (chunk: string) => (text += chunk));
        response.on('end', () => {
          const body = text === '' ? {} : (JSON.parse(text) as Record<string, unknown>);
          resolve({ status: response.statusCode ?? 0, body, text, ms: performance.now() - startedAt });
        });
      },
    );
    call.on('timeout', () => call.destroy(new Error('pg-health did not answer in 5 s')));
    call.on('error', reject);
    call.end();
  });
}

/** Asks until the status is `status`; milliseconds until then. Fails after `withinMs`. */
export async function until(health: { port: number }, url: string, status: number, withinMs = 20_000): Promise<number> {
  const startedAt = performance.now();
  for (;;) {
    const answer = await ask(health, url);
    const ms = performance.now() - startedAt;
    if (answer.status === status) return ms;
    if (ms > withinMs) throw new Error(`${url} is ${String(answer.status)} after ${ms.toFixed(0)} ms: ${answer.text}`);
    await delay(3);
  }
}
