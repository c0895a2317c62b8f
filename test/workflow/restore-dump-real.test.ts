/**
 * Scenario: the whole runbook with real parts: a real dump, a real new cluster, the real workflow on a dev server; only the environment's facts are given.
 * Verified: 1 the rows are there behind the sandbox's URL while the gate is open; 2 the job was killed once on the way, and nobody saw a half database;
 * 3 what is handed over starts as an ordinary cluster, without an archive, and production was not touched.
 */
import pg from 'pg';
import path from 'node:path';

import * as dump from '../../activities/postgres/dump/index.js';
import { createDiscardSandbox } from '../../activities/postgres/sandbox/index.js';
import { startServer, stopServer } from '../../activities/postgres/server.js';
import type { DumpResult } from '../../shared/contracts/dump.js';
import type { SandboxRef } from '../../shared/contracts/sandbox.js';
import { freePort } from '../support/ports.js';
import { createWorkflowEnv, decide, until, type WorkflowEnv } from '../support/workflow-env.js';
import { inShop, makeScene, ROWS, type Scene } from '../pg/dump/support.js';

jest.setTimeout(180_000);

let env: WorkflowEnv;
let scene: Scene;
beforeAll(async () => {
  [env, scene] = await Promise.all([createWorkflowEnv(), makeScene()]);
});
afterAll(async () => {
  delete process.env['PGR_FAULT'];
  await env.stop();
  await scene.destroy();
});

test('a dump becomes a cluster that a person can put into production', async () => {
  const scenario = env.scenario();
  const { environment } = scenario;
  const { deps } = scene;
  const here = <Input extends { ref: SandboxRef }>(input: Input): Input => ({
    ...input,
    ref: { ...input.ref, environment: 'shop', host: 'dallas' },
  });
  scenario
    .on('planDump', (input) =>
      dump
        .createPlanDump(deps)({ ...input, environment: 'shop', host: 'dallas' })
        .then((plan) => ({ ...plan, host: input.host })),
    )
    .on('prepareDumpSandbox', (input) => dump.createPrepareDumpSandbox(deps)(here(input)))
    .on('restoreDump', (input) => dump.createRestoreDump(deps)(here(input)))
    .on('verifyDump', (input) => dump.createVerifyDump(deps)(here(input)))
    .on('handOverSandbox', (input) => dump.createHandOverSandbox(deps)(here(input)))
    .on('discardSandbox', (input) => createDiscardSandbox(deps)(here(input)));
  process.env['PGR_FAULT'] = 'restore-dump:before-mark';
  process.env['PGR_FAULT_FLAG'] = path.join(scene.dir, 'flag-real');

  const handle = await env.start('restoreDump', `${environment}/restore-dump/real`, {
    ...{ environment, requestedBy: 'ana', reason: 'all is lost', requestedAt: new Date().toISOString() },
    ...{ source: { kind: 'file', path: scene.dumps['directory'] ?? '' }, globals: scene.dumps['globals'] ?? null },
    ...{ jobs: 2, locale: null, quick: false, handOver: true },
  });
  const waiting = await until(handle, ({ status }) => status === 'waiting-approval', 120_000);
  expect(waiting.gate?.evidence.filter(({ ok }) => !ok)).toEqual([]);
  expect(await count(waiting.sandbox?.url ?? '')).toBe(ROWS);

  await decide(handle, 'approve', 'ben');
  const { commands, sandbox } = (await handle.result()) as DumpResult;
  expect(commands).toContain('pgr take-base shop');
  const port = await freePort();
  const options = ['-c', `port=${String(port)}`, '-c', 'unix_socket_directories=', '-c', 'listen_addresses=127.0.0.1'];
  const { binDir } = scene.primary;
  await startServer({ binDir, dataDir: sandbox.dataDir, options, logFile: path.join(scene.dir, 'handed-over.log') });
  try {
    const url = `postgresql://postgres@127.0.0.1:${String(port)}/shop`;
    expect(await count(url)).toBe(ROWS);
    expect(await ask(url, 'show archive_mode')).toBe('off');
    expect(await ask(url, 'insert into orders default values returning id')).toBe(ROWS + 1);
  } finally {
    await stopServer({ dataDir: sandbox.dataDir });
  }
  expect(await inShop(scene.primary, 'select count(*) from orders')).toBe(String(ROWS));
});

async function count(url: string): Promise<unknown> {
  return ask(url, 'select count(*)::int from orders');
}

async function ask(url: string, sql: string): Promise<unknown> {
  const client = new pg.Client(url);
  await client.connect();
  try {
    const { rows } = await client.query<Record<string, unknown>>(sql);
    return Object.values(rows[0] ?? {})[0];
  } finally {
    await client.end();
  }
}
