/**
 * A planned flip behind a real HAProxy and a real PgBouncer. Needs: `haproxy` and `pgbouncer` on PATH. A client writes through the pooler every 5 ms
 * without reconnecting. Verified: (1) it gets no error, (2) every acknowledged row is on the new primary, (3) the write VIP leads there.
 */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';

import { createPoolers } from '../../activities/pooler/create-poolers.js';
import { createFlipWrites } from '../../activities/postgres/flip/flip-writes.js';
import { createRejoinOldPrimary } from '../../activities/postgres/flip/rejoin-old-primary.js';
import { createRouting } from '../../activities/routing/create-routing.js';
import { configSchema } from '../../config/schema.js';
import { destroyAllFlipScenes, makeFlipScene, waitFor, type FlipScene } from '../support/flip-scene.js';
import { destroyAllHaproxies, startHaproxy } from '../support/haproxy.js';
import { findProgram } from '../support/peer-process.js';
import { destroyAllPgbouncers, startPgbouncer } from '../support/pgbouncer.js';

jest.setTimeout(120_000);
const missing = ['haproxy', 'pgbouncer'].filter((name) => findProgram(name) === null);
if (missing.length > 0)
  console.warn(`skipped: ${missing.join(' and ')} not installed (apt-get install ${missing.join(' ')})`);
const suite = missing.length === 0 ? describe : describe.skip;

const health: Server[] = [];
afterEach(async () => {
  await destroyAllPgbouncers();
  await destroyAllHaproxies();
  for (const server of health.splice(0)) server.close();
  await destroyAllFlipScenes();
});

/** Stands for pg-health: 200 on /primary while the node accepts writes. */
async function startHealth(scene: FlipScene, node: string): Promise<number> {
  const server = createServer((_, response) => {
    scene
      .cluster(node)
      .query<{ standby: boolean }>('select pg_is_in_recovery() standby')
      .then(
        ([row]) => row?.standby === false,
        () => false,
      )
      .then((primary) => response.writeHead(primary ? 200 : 503).end())
      .catch(() => undefined);
  });
  health.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return (server.address() as AddressInfo).port;
}

suite('behind HAProxy and PgBouncer', () => {
  test.each(['stop', 'cut'] as const)('mode %s: clients of the pooler wait, and get no error', async (mode) => {
    const scene = await makeFlipScene();
    const nodes = await Promise.all(
      ['dallas', 'chicago'].map(async (name) => ({
        name,
        port: scene.cluster(name).port,
        checkPort: await startHealth(scene, name),
      })),
    );
    const haproxy = await startHaproxy({ nodes });
    const pgbouncer = await startPgbouncer({ target: { port: haproxy.port } });
    const lab = scene.config.environments['lab']!;
    const url = `postgresql://postgres@127.0.0.1:${String(haproxy.port)}/postgres?target_session_attrs=read-write`;
    const config = configSchema.parse({
      ...scene.config,
      environments: {},
    });
    config.environments['lab'] = {
      ...lab,
      routing: {
        kind: 'haproxy',
        url,
        backend: haproxy.backend,
        servers: {},
        instances: [{ name: 'lb1', api: haproxy.api, stats: haproxy.stats }],
      },
      poolers: [
        {
          name: 'pgb',
          kind: 'pgbouncer',
          address: '127.0.0.1',
          port: pgbouncer.port,
          user: pgbouncer.adminUser,
          databases: [],
          pauseTimeout: 5,
          onTimeout: 'give-up',
        },
      ],
    };
    const deps = {
      ...scene.deps,
      config,
      routing: createRouting(config, scene.deps.resolveSecret),
      poolers: createPoolers(config, scene.deps.resolveSecret),
    };
    const client = new pg.Client({ connectionString: pgbouncer.url() });
    const errors: string[] = [];
    client.on('error', (error) => errors.push(error.message));
    await waitFor(() => client.connect().then(() => true));
    const acknowledged: number[] = [];
    const state = { running: true, gapMs: 0 };
    const writing = (async () => {
      let last = performance.now();
      for (let id = 1; state.running; id += 1) {
        await client.query('insert into orders values ($1)', [id]).then(
          () => acknowledged.push(id),
          (error: unknown) => errors.push(String(error)),
        );
        state.gapMs = Math.max(state.gapMs, performance.now() - last);
        last = performance.now();
        await delay(5);
      }
    })();
    await waitFor(() => Promise.resolve(acknowledged.length > 20));
    const input = await scene.flipInput('r1', { mode });
    const result = await createFlipWrites(deps)(input);
    const before = acknowledged.length;
    await waitFor(() => Promise.resolve(acknowledged.length > before + 50));
    state.running = false;
    await writing;
    await client.end();
    console.warn(
      `${mode}: the client waited ${String(Math.round(state.gapMs))} ms; ${result.phases.map(({ name, atMs }) => `${name} ${String(atMs)}`).join(', ')}`,
    );
    expect(errors).toEqual([]);
    const rows = await scene.chicago.query<{ id: string }>('select id from orders');
    const there = new Set(rows.map(({ id }) => Number(id)));
    expect(acknowledged.filter((id) => !there.has(id))).toEqual([]);
    const rejoin = {
      environment: 'lab',
      node: 'dallas',
      run: input.run,
      runId: input.runId,
      to: 'chicago',
      expect: input.plan.from,
      timeline: 2,
    };
    await expect(createRejoinOldPrimary(deps)(rejoin)).resolves.toMatchObject({
      outcome: 'rejoined',
      method: 'restart',
    });
    const session = await deps.routing('lab').open(3_000);
    await waitFor(async () => {
      const servers = await session.servers();
      return (
        servers.some(({ node, state: is }) => node === 'chicago' && is === 'up') &&
        servers.some(({ node, state: is }) => node === 'dallas' && is === 'down')
      );
    });
    await session.close();
  });
});
