/**
 * Scenario: a laptop with nothing running: no Temporal in the config, no server for the developer, only a dump.
 * Verified: 1 one command starts Temporal, a worker and a server, and ends with the rows there; 2 the next command uses what runs; 3 a worker that was killed is
 * started again by the next command, and a Temporal that was killed comes back with its history; 4 the environment's own server was not touched.
 */
import { execa } from 'execa';
import { chown, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import path from 'node:path';
import pg from 'pg';

import { runProgramOrFail } from '../../activities/lib/exec.js';
import { stopServer } from '../../activities/postgres/server.js';
import { listCommandLines } from '../../lab/process.js';
import { destroyAllClusters, serverDirectory, serverOwner, startCluster, type Cluster } from '../support/cluster.js';
import { freePort } from '../support/ports.js';
import { waitFor } from '../support/promotion-scene.js';

jest.setTimeout(400_000);

const CLI = path.join(__dirname, '../../dist/cli/main.js');

let production: Cluster;
let dir: string;
let port: number;
let page: Server | null = null;

beforeAll(async () => {
  production = await startCluster();
  await production.query('create table orders as select g as id from generate_series(1, 500) g');
  dir = await serverDirectory('pgr-laptop-');
  port = await freePort();
  const dump = path.join(dir, 'shop.dump');
  await runProgramOrFail(path.join(production.binDir, 'pg_dump'), ['-d', production.url, '-Fc', '-f', dump]);
  await mkdir(path.join(dir, 'server'));
  const { uid, gid } = await serverOwner();
  if (process.getuid?.() === 0) await chown(path.join(dir, 'server'), uid, gid);
  const runAs = (await runProgramOrFail('id', ['-un', String(uid)])).trim();
  const temporal = await freePort();
  // The port of the page belongs to another program.
  page = createServer().listen(temporal + 1_000, '127.0.0.1');
  page.on('error', () => undefined);
  await writeFile(path.join(dir, 'recovery.yaml'), configText({ dump, runAs, temporal }));
});
afterAll(async () => {
  page?.close();
  for (const { pid } of await ours()) kill(pid);
  await waitFor(async () => (await ours()).length === 0, 60_000);
  await stopServer({ dataDir: path.join(dir, 'server', 'data') });
  await destroyAllClusters();
  await rm(dir, { recursive: true, force: true, maxRetries: 3 });
});

function configText({ dump, runAs, temporal }: { dump: string; runAs: string; temporal: number }): string {
  const { port: node, dataDir, binDir } = production;
  return `
version: 1
temporal: { embeddedPort: ${String(temporal)} }
stateDir: ${dir}/state
record: { kind: directory, path: ${dir}/records }
environments:
  shop:
    postgres: { user: postgres, database: postgres }
    nodes:
      - { name: dallas, host: dallas, address: 127.0.0.1, port: ${String(node)}, dataDir: ${dataDir}, binDir: ${binDir}, runtime: { kind: process } }
    routing: { kind: multihost, url: 'postgresql://127.0.0.1:${String(node)}/postgres?target_session_attrs=read-write' }
    backups: { kind: s3, bucket: b, accessKeyId: 'env:A', secretAccessKey: 'env:B' }
    dev:
      sources: { nightly: { kind: file, path: ${dump} } }
      target: { kind: process, dataDir: ${dir}/server/data, port: ${String(port)}, runAs: ${runAs} }
      database: shop_dev
      binDir: ${binDir}
`;
}

/** Temporal, the worker and its jobs: their command lines name this test's directory. */
async function ours(): Promise<{ pid: number; words: string[] }[]> {
  const files = [path.join(dir, 'state'), path.join(dir, 'recovery.yaml')];
  const lines = await listCommandLines();
  return lines.filter(({ words }) => files.some((file) => words.some((word) => word.startsWith(file))));
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It ended by itself.
  }
}

async function killed(word: string): Promise<void> {
  const processes = (await ours()).filter(({ words }) => words.includes(word));
  expect(processes).toHaveLength(1);
  for (const { pid } of processes) kill(pid);
  await waitFor(async () => !(await ours()).some(({ words }) => words.includes(word)));
}

async function pgr(...args: string[]): Promise<{ code: number; document: Record<string, unknown>; err: string }> {
  const env = {
    ...Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('TEMPORAL_'))),
    ...{ HOME: dir, PGR_USER: 'ana', PGR_TEMPORAL: process.env['PGR_TEST_TEMPORAL'] ?? '' },
  };
  const words = [CLI, ...args, '--json', '--config', path.join(dir, 'recovery.yaml')];
  const ended = await execa(process.execPath, words, { reject: false, env, extendEnv: false, timeout: 180_000 });
  const document = ended.stdout === '' ? {} : (JSON.parse(ended.stdout) as Record<string, unknown>);
  return { code: ended.exitCode ?? -1, document, err: ended.stderr };
}

/** What `pgr` said is in the message when it failed. */
async function restored(...more: string[]): Promise<string> {
  const { code, document, err } = await pgr('restore-dev', 'shop', '--wait', ...more);
  const log = await readFile(path.join(dir, 'state/embedded/worker.log'), 'utf8').catch(() => '');
  expect({ code, err, document, log: code === 0 ? '' : log.slice(-3_000) }).toMatchObject({
    code: 0,
    document: { status: 'completed' },
  });
  return err;
}

async function count(): Promise<unknown> {
  const client = new pg.Client({ host: '127.0.0.1', port, user: 'postgres', database: 'shop_dev' });
  client.on('error', () => undefined);
  await client.connect();
  try {
    return (await client.query<{ n: number }>('select count(*)::int as n from orders')).rows[0]?.n;
  } finally {
    await client.end();
  }
}

test('with nothing running, one command ends with the rows in a database', async () => {
  const said = await restored();
  expect(said).toMatch(/started on this machine: temporal at 127.0.0.1:\d+, a worker/);
  expect(await count()).toBe(500);
  expect(await production.query("select datname from pg_database where datname like 'shop%'")).toEqual([]);
});

test('what runs is used, and what was killed is started again', async () => {
  expect(await restored('--full')).not.toContain('started on this machine');
  await killed('worker');
  expect(await restored()).toMatch(/started on this machine: a worker/);
  await killed('worker');
  await killed('start-dev');
  expect(await restored()).toMatch(/started on this machine: temporal at .*, a worker/);
  const { document } = await pgr('runs');
  expect(JSON.stringify(document).match(/"run":"shop\/restore-dev/g)).toHaveLength(4);
  expect(await count()).toBe(500);
});
