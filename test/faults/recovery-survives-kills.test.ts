/**
 * Scenario: a recovery with a promotion, disturbed in the worst moments by SIGKILL, on a whole lab.
 * Verified each time: 1. the run completes; 2. the rows are back and the accident is not; 3. each step took effect once (one step-done
 * entry per step in the record, one kept data directory, one new timeline); 4. the record verifies.
 */
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { startProxy } from '../support/counting-proxy.js';
import { TestLab } from '../support/lab.js';

jest.setTimeout(400_000);

type Accident = { at: string; xid: string; lastGoodTime: string; rowsLost: number };
type Entry = {
  body: { kind: string; step?: string; plan?: { fetch: { baseBytes: number } } };
};

let lab: TestLab;
let scratch: string;

beforeAll(async () => {
  scratch = await mkdtemp(path.join(tmpdir(), 'pgr-faults-'));
  lab = await TestLab.up();
});

afterAll(async () => {
  await TestLab.destroyAll();
  await rm(scratch, { recursive: true, force: true });
});

async function orders(): Promise<number> {
  const rows = await lab.query<{ n: string }>('select count(*) as n from orders');
  return Number(rows[0]?.n);
}

async function timeline(): Promise<number> {
  const rows = await lab.query<{ timeline_id: number }>('select timeline_id from pg_control_checkpoint()');
  return rows[0]?.timeline_id ?? 0;
}

async function keptDirectories(): Promise<string[]> {
  const dataDir = (await lab.status()).nodes[0]!.dataDir;
  const names = await readdir(path.dirname(dataDir));
  return names.filter((name) => name.startsWith(`${path.basename(dataDir)}.kept-`) && !name.endsWith('.json'));
}

type Before = { orders: number; timeline: number; kept: string[]; accident: Accident; run: string };

async function startRecovery(promote: boolean): Promise<Before> {
  const counted = await orders();
  const from = await timeline();
  const kept = await keptDirectories();
  const accident = await lab.json<Accident>(['lab', 'accident', 'truncate']);
  const args = [
    'pitr',
    'lab',
    '--to',
    accident.lastGoodTime,
    '--reason',
    'fault test',
    ...(promote ? ['--promote'] : []),
  ];
  const { run } = await lab.json<{ run: string }>(args);
  expect(typeof run).toBe('string');
  return { orders: counted, timeline: from, kept, accident, run };
}

async function finish(before: Before): Promise<void> {
  await lab.waitFor(before.run, ['waiting-approval']);
  expect((await lab.approve(before.run)).exitCode).toBe(0);
  await lab.waitFor(before.run, ['completed'], { timeoutMs: 240_000 });
  await expectUndisturbed(before);
}

async function expectUndisturbed(before: Before): Promise<void> {
  expect(await orders()).toBeGreaterThanOrEqual(before.orders);
  expect(await timeline()).toBe(before.timeline + 1);
  expect(await keptDirectories()).toHaveLength(before.kept.length + 1);
  for (const run of [before.run, 'lab/change']) {
    const exported = await lab.json<{ entries: Entry[] }>(['audit', 'export', run]);
    const done = exported.entries.flatMap(({ body }) => (body.kind === 'step-done' ? [body.step ?? ''] : []));
    expect(done.length).toBeGreaterThan(0);
    expect(done).toEqual([...new Set(done)]);
    expect((await lab.pgr(['audit', 'verify', run])).exitCode).toBe(0);
  }
}

/** Workers one after the other, each dying by SIGKILL at its place; the lab's own worker does the rest. */
async function dieAt(points: readonly string[]): Promise<void> {
  for (const point of points) {
    const flag = path.join(scratch, point.replace(':', '-'));
    const armed = await lab.startWorker({ PGR_FAULT: point, PGR_FAULT_FLAG: flag });
    await lab.until(
      () => Promise.resolve(armed.signalCode),
      (signal) => signal === 'SIGKILL',
      180_000,
      () => `no worker reached ${point}`,
    );
    expect((await stat(flag)).isFile()).toBe(true);
  }
  expect((await lab.pgr(['lab', 'up'], { timeoutMs: 120_000 })).exitCode).toBe(0);
}

test('a worker killed while a gate is open changes nothing: the next one takes the decision', async () => {
  const before = await startRecovery(true);
  const { gate } = await lab.waitFor(before.run, ['waiting-approval']);
  for (const worker of (await lab.status()).workers) await lab.kill(worker.pid);
  expect((await lab.pgr(['lab', 'up'], { timeoutMs: 120_000 })).exitCode).toBe(0);
  expect((await lab.waitFor(before.run, ['waiting-approval'])).gate?.code).toBe(gate?.code);
  await finish(before);
});

test('workers killed in the transfer, after the bases were combined and in the replay: each next one goes on with what is there', async () => {
  await lab.stopOwnWorker();
  const dying = dieAt(['restore-base:transferring', 'combined-before-rename', 'replay-wal:started']);
  const before = await startRecovery(true);
  await dying;
  await finish(before);
});

test('a worker killed in the middle of the transfer has nothing fetched twice: S3 serves the bases once', async () => {
  const { s3, config } = await lab.status();
  await lab.stopOwnWorker();
  const proxy = await startProxy(Number(new URL(s3.endpoint).port));
  try {
    const counted = path.join(scratch, 'counted.yaml');
    const text = await readFile(config, 'utf8');
    await writeFile(counted, text.replaceAll(s3.endpoint, `http://127.0.0.1:${String(proxy.port)}`));
    const { lastGoodTime } = await lab.json<Accident>(['lab', 'accident', 'bad-migration']);
    const armed = { PGR_FAULT: 'restore-base:transferring', PGR_FAULT_FLAG: path.join(scratch, 'counted') };
    const dying = await lab.startWorker(armed, counted);
    const died = lab.until(
      () => Promise.resolve(dying.signalCode),
      (signal) => signal === 'SIGKILL',
      60_000,
      () => 'the worker lives',
    );
    const { run } = await lab.json<{ run: string }>(['pitr', 'lab', '--to', lastGoodTime]);
    await died;
    await lab.startWorker({}, counted);
    expect((await lab.waitFor(run, ['completed'])).sandbox?.state).toBe('paused');
    const { entries } = await lab.json<{ entries: Entry[] }>(['audit', 'export', run]);
    const { baseBytes } = entries.find(({ body }) => body.kind === 'plan')!.body.plan!.fetch;
    const served = proxy.bytesServedOf('/base.tar');
    expect(served).toBeGreaterThan(baseBytes);
    expect(served).toBeLessThan(baseBytes * 1.02);
    expect((await lab.pgr(['discard', run])).exitCode).toBe(0);
  } finally {
    await proxy.close();
    await lab.stopWorkers();
    expect((await lab.pgr(['lab', 'up'], { timeoutMs: 120_000 })).exitCode).toBe(0);
  }
});

test('workers killed at every stage of a promotion leave one that completes with each effect once', async () => {
  const before = await startRecovery(true);
  await lab.waitFor(before.run, ['waiting-approval']);
  const { gate } = await lab.show(before.run);
  await lab.stopOwnWorker();
  const dying = dieAt([
    'keep-old-data:after-rename',
    'swap-in:after-rename',
    'end-recovery:promoted',
    'start-node:after-start',
    'rebuild-standby:renamed',
  ]);
  const approve = ['approve', before.run, 'promote', '--code', gate?.code ?? '', '--by', 'ben'];
  await lab.until(
    () => lab.pgr(approve),
    (result) => result.exitCode === 0,
    60_000,
    (result) => result.stderr,
  );
  await dying;
  await lab.waitFor(before.run, ['completed'], { timeoutMs: 240_000 });
  await expectUndisturbed(before);
});

test('a temporal server killed in the middle of a recovery comes back and the recovery goes on', async () => {
  const before = await startRecovery(true);
  await lab.kill((await lab.status()).temporal.pid);
  expect((await lab.pgr(['lab', 'up'], { timeoutMs: 120_000 })).exitCode).toBe(0);
  await finish(before);
});

test('everything killed at an open gate comes back with `lab up`, and the approval of the next day counts', async () => {
  const before = await startRecovery(true);
  await lab.waitFor(before.run, ['waiting-approval']);
  const status = await lab.status();
  const sandboxPid = (await lab.show(before.run)).sandbox;
  expect(sandboxPid).not.toBeNull();
  for (const { pid } of [...status.workers, status.temporal, status.s3, ...status.nodes]) await lab.kill(pid);
  expect((await lab.pgr(['lab', 'up'], { timeoutMs: 240_000 })).exitCode).toBe(0);
  await finish(before);
});
