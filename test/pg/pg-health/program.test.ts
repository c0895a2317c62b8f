/** pg-health as a process of its own: how it starts, refuses to start, and ends. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { destroyAllClusters, startCluster, type Cluster } from '../../support/cluster.js';
import { ask, until } from './support.js';
import { freePort } from '../../support/ports.js';
import { bundleInto } from '../../support/bundle.js';

let cluster: Cluster;
let dir: string;
let port: number;
const children = new Set<ChildProcess>();

beforeAll(async () => {
  cluster = await startCluster({ password: 'open sesame' });
  dir = await mkdtemp(path.join(tmpdir(), 'pgr-health-program-'));
  await bundleInto(dir, ['workers/pg-health.ts']);
});
beforeEach(async () => {
  port = await freePort();
  await writeFile(path.join(dir, 'recovery.yaml'), config(port));
});
afterEach(async () => {
  for (const child of children) {
    if (child.exitCode === null && child.signalCode === null) {
      child.kill('SIGKILL');
      await once(child, 'exit');
    }
    children.delete(child);
  }
});
afterAll(async () => {
  await destroyAllClusters();
  await rm(dir, { recursive: true, force: true });
});

function config(healthPort: number): string {
  const node = (name: string, more: string): string =>
    `      - { name: ${name}, host: ${name}, address: 127.0.0.1, port: ${String(name === 'dallas' ? cluster.port : 1)}, dataDir: /d/${name}, binDir: /b, runtime: { kind: process }${more} }`;
  return `
version: 1
stateDir: ${dir}/state
record: { kind: directory, path: ${dir}/records }
environments:
  shop:
    postgres: { password: 'env:PGR_TEST_PASSWORD' }
    nodes:
${node('dallas', `, health: { kind: pgr, port: ${String(healthPort)} }`)}
${node('chicago', '')}
    routing: { kind: multihost, url: 'postgresql://127.0.0.1:1/postgres?target_session_attrs=read-write' }
    backups: { kind: s3, bucket: b, accessKeyId: 'env:A', secretAccessKey: 'env:B' }
`;
}

type Program = { child: ChildProcess; out: () => string; ended: Promise<{ code: number | null; err: string }> };

function start(...args: string[]): Program {
  const child = spawn(
    process.execPath,
    [path.join(dir, 'pg-health.cjs'), '--config', path.join(dir, 'recovery.yaml'), ...args],
    { env: { PATH: process.env['PATH'] ?? '', PGR_TEST_PASSWORD: 'open sesame' }, stdio: ['ignore', 'pipe', 'pipe'] },
  );
  children.add(child);
  let out = '';
  let err = '';
  child.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (err += chunk.toString()));
  const ended = once(child, 'close').then(([code]) => ({ code: code as number | null, err }));
  return { child, out: () => out, ended };
}

/** Once it listens. */
async function listening(program: Program): Promise<void> {
  const ready = (async () => {
    while (!program.out().includes('pg-health is ready')) await once(program.child.stdout!, 'data');
  })();
  await Promise.race([
    ready,
    program.ended.then(({ err }) => {
      throw new Error(`it ended: ${err}`);
    }),
  ]);
}

test('serves its node from the config and ends on SIGTERM, also with a router that keeps its connection open', async () => {
  const program = start('--node', 'dallas');
  await listening(program);
  await until({ port }, '/primary', 200);
  expect((await ask({ port }, '/health')).body).toMatchObject({ environment: 'shop', node: 'dallas' });
  const router = await fetch(`http://127.0.0.1:${String(port)}/primary`);
  expect(router.status).toBe(200);
  while (!program.out().includes('"role":"primary"')) await once(program.child.stdout!, 'data');
  program.child.kill('SIGTERM');
  expect(await program.ended).toEqual({ code: 0, err: '' });
  expect(program.out()).not.toContain('open sesame');
});

test('two on one port: the second one says so and ends, the first one goes on', async () => {
  const first = start('--node', 'dallas');
  await listening(first);
  const { code, err } = await start('--node', 'dallas').ended;
  expect(code).toBe(5);
  expect(err).toContain(`somebody listens on 127.0.0.1:${String(port)} already\nhint: another pg-health of this node`);
  await until({ port }, '/primary', 200);
});

test.each([
  ['a node that there is not', ['--node', 'austin'], 3, 'there is no node austin in the config'],
  ['a node without health in the config', ['--node', 'chicago'], 2, 'has no health of kind pgr'],
  ['no node', [], 2, 'say which node'],
  ['an environment that has no such node', ['--node', 'dallas', '--environment', 'shpo'], 3, 'there is no node'],
  ['a flag that there is not', ['--node', 'dallas', '--nood'], 2, '--nood'],
])('refuses %s', async (_title, args, exitCode, text) => {
  const { code, err } = await start(...args).ended;
  expect({ code, err }).toEqual({ code: exitCode, err: expect.stringContaining(text) as string });
});

test('it knows nothing of Temporal workers and clients', async () => {
  const bundle = await readFile(path.join(dir, 'pg-health.cjs'), 'utf8');
  expect(bundle).not.toMatch(/@temporalio\/(worker|client|activity|workflow|proto|core-bridge)/);
});
