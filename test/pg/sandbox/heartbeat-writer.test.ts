/** Scenario: the heartbeats of an environment. Verified: the table is made, rows come, old ones go, the server that accepts writes is found, an outage is survived. */
import type { ActivityDeps } from '../../../activities/lib/deps.js';
import {
  createHeartbeatWriter,
  writeHeartbeat,
  type HeartbeatWriter,
} from '../../../activities/postgres/heartbeat-writer.js';
import { destroyAllClusters, startCluster, startStandby, type Cluster } from '../../support/cluster.js';
import { freePort } from '../../support/ports.js';

jest.setTimeout(60_000);

let primary: Cluster;
let standby: Cluster;
let writer: HeartbeatWriter | null = null;

beforeAll(async () => {
  primary = await startCluster({ password: 'p:w/d' });
  standby = await startStandby(primary);
});

afterEach(async () => {
  await writer?.stop();
  writer = null;
});

afterAll(async () => {
  await destroyAllClusters();
});

function depsFor(ports: number[], warnings: unknown[] = []): ActivityDeps {
  const hosts = ports.map((port) => `127.0.0.1:${String(port)}`).join(',');
  return {
    config: {
      environments: {
        shop: {
          heartbeat: { enabled: true, every: 1 },
          postgres: { user: 'postgres', database: 'postgres', password: 'env:PW' },
          routing: {
            kind: 'multihost',
            url: `postgresql://postgres@${hosts}/postgres?target_session_attrs=read-write`,
          },
        },
      },
    },
    resolveSecret: () => Promise.resolve('p:w/d'),
    log: { info: () => undefined, warn: (fields: unknown) => warnings.push(fields) },
  } as unknown as ActivityDeps;
}

const rows = async (): Promise<number> =>
  (await primary.query<{ n: number }>('select count(*)::int as n from pgr.heartbeat'))[0]?.n ?? 0;

async function until(condition: () => Promise<boolean>): Promise<void> {
  const end = Date.now() + 15_000;
  while (!(await condition().catch(() => false))) {
    if (Date.now() > end) throw new Error('the condition did not come true in time');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

test('passes over a dead host and a standby, makes the table and writes', async () => {
  const warnings: unknown[] = [];
  writer = createHeartbeatWriter(depsFor([await freePort(), standby.port, primary.port], warnings), 'shop');
  writer.start();
  writer.start();
  await until(async () => (await rows()) >= 2);
  expect(warnings).toEqual([]);
  await writer.stop();
  const before = await rows();
  await new Promise((resolve) => setTimeout(resolve, 1_500));
  expect(await rows()).toBe(before);
});

test('says what is in the way when nobody accepts writes', async () => {
  const problem = await writeHeartbeat(depsFor([standby.port]), 'shop', { prune: false });
  expect(problem).toBe(`127.0.0.1:${String(standby.port)} is read-only`);
});

test('drops rows older than two days and no others', async () => {
  await primary.query(
    `insert into pgr.heartbeat values (now() - interval '49 hours', 'old'), (now() - interval '47 hours', 'young')`,
  );
  expect(await writeHeartbeat(depsFor([primary.port]), 'shop', { prune: true })).toBeNull();
  const sources = await primary.query<{ source: string }>(
    `select source from pgr.heartbeat where source in ('old', 'young')`,
  );
  expect(sources.map((row) => row.source)).toEqual(['young']);
});

test('survives an outage of the server', async () => {
  const warnings: unknown[] = [];
  writer = createHeartbeatWriter(depsFor([primary.port], warnings), 'shop');
  await primary.stop();
  writer.start();
  await until(() => Promise.resolve(warnings.length === 1));
  await primary.start();
  const before = await rows();
  await until(async () => (await rows()) > before);
});
