/**
 * Scenario: the process that runs a sandbox activity is killed with SIGKILL inside it. Verified for each activity: (1) what outlives the process goes on;
 * (2) the next attempt ends in the same state; (3) nothing was done twice.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { readFile, readdir, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import {
  createCombineIncrementals,
  createDiscardSandbox,
  createPrepareSandbox,
  createReadSandbox,
  createReplayWal,
  createRestoreBase,
  createVerifySandbox,
} from '../../../activities/postgres/sandbox/index.js';
import { readPostmaster } from '../../../activities/postgres/postmaster.js';
import {
  FAULT_COMBINED_AFTER_RENAME,
  FAULT_COMBINED_BEFORE_RENAME,
} from '../../../activities/postgres/sandbox/combine-incrementals.js';
import { FAULT_DISCARD_BEFORE_MARKER } from '../../../activities/postgres/sandbox/discard-sandbox.js';
import { placeOf } from '../../../activities/postgres/sandbox/place.js';
import { FAULT_SANDBOX_MADE_BEFORE_MARKER } from '../../../activities/postgres/sandbox/prepare-sandbox.js';
import { stopServer } from '../../../activities/postgres/server.js';
import type { RecoveryPlan } from '../../../shared/contracts/plan.js';
import type { SandboxRef } from '../../../shared/contracts/sandbox.js';
import { makeWorld, planOf, refOf, type World } from './support.js';
import { bundleFile } from '../../support/bundle.js';

jest.setTimeout(60_000);

let world: World;
let program = '';
const opened: SandboxRef[] = [];
const children: ChildProcess[] = [];

beforeAll(async () => {
  world = await makeWorld();
  program = path.join(world.dir, 'run-activity.cjs');
  await bundleFile('test/pg/sandbox/run-activity.ts', program);
});

afterAll(async () => {
  await world.destroy();
});

afterEach(async () => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
  for (const name of ['hold-base', 'hold-wal', 'fetched']) await rm(path.join(world.archive, name), { force: true });
  for (const ref of opened.splice(0)) {
    await world.deps.jobs.end(`${ref.runId}.restore-base`);
    await stopServer({ dataDir: placeOf(world.config, ref).dataDir, mode: 'immediate' });
    await createDiscardSandbox(world.deps)({ ref }).catch(() => undefined);
  }
});

function sandbox(name: string): SandboxRef {
  const ref = refOf(name);
  opened.push(ref);
  return ref;
}

async function until(condition: () => Promise<boolean>): Promise<void> {
  const end = Date.now() + 20_000;
  while (!(await condition())) {
    if (Date.now() > end) throw new Error('the condition did not come true in time');
    await delay(10);
  }
}

/** Starts the activity in a process of its own, armed with a fault point when one is given. */
async function start(
  activity: string,
  input: { ref: SandboxRef; plan: RecoveryPlan },
  fault?: string,
): Promise<ChildProcess> {
  const file = path.join(world.dir, `request-${input.ref.sandbox}-${activity}.json`);
  await writeFile(file, JSON.stringify({ dir: world.dir, archive: world.archive, config: world.config, input }));
  const flag = path.join(world.dir, `fault-${input.ref.sandbox}-${activity}`);
  const child = spawn(process.execPath, [program, activity, file], {
    stdio: ['ignore', 'ignore', 'inherit'],
    env: { ...process.env, ...(fault === undefined ? {} : { PGR_FAULT: fault, PGR_FAULT_FLAG: flag }) },
  });
  children.push(child);
  return child;
}

async function dies(child: ChildProcess): Promise<NodeJS.Signals | null> {
  if (child.signalCode !== null || child.exitCode !== null) return child.signalCode;
  return new Promise((resolve) =>
    child.once('exit', (_, signal) => {
      resolve(signal);
    }),
  );
}

const fetched = async (): Promise<number> =>
  (await readFile(path.join(world.archive, 'fetched'), 'utf8').catch(() => '')).split('\n').length - 1;

test('prepare-sandbox, killed before its marker: the next attempt takes the place over', async () => {
  const ref = sandbox('dead-prepare');
  const plan = await planOf(world);
  expect(await dies(await start('prepareSandbox', { ref, plan }, FAULT_SANDBOX_MADE_BEFORE_MARKER))).toBe('SIGKILL');
  expect(await readdir(placeOf(world.config, ref).dir)).not.toContain('marker.json');
  await createPrepareSandbox(world.deps)({ ref, plan });
  expect((await createReadSandbox(world.deps)({ ref })).state).toBe('prepared');
});

test('restore-base, killed in the middle of the transfer: the transfer goes on and nothing is fetched twice', async () => {
  const ref = sandbox('dead-restore');
  const plan = await planOf(world);
  await createPrepareSandbox(world.deps)({ ref, plan });
  await writeFile(path.join(world.archive, 'hold-base'), '');
  const child = await start('restoreBase', { ref, plan });
  await until(async () => (await fetched()) === 1);
  child.kill('SIGKILL');
  await dies(child);
  const second = createRestoreBase(world.deps)({ ref, plan });
  await rm(path.join(world.archive, 'hold-base'));
  expect((await second).files).toBe(20);
  expect(await fetched()).toBe(1);
});

test.each([FAULT_COMBINED_BEFORE_RENAME, FAULT_COMBINED_AFTER_RENAME])(
  'combine-incrementals, killed at %s: the data directory is made once and whole',
  async (fault) => {
    const ref = sandbox(`dead-${fault}`);
    const plan = await planOf(world, { baseChain: world.chain });
    await createPrepareSandbox(world.deps)({ ref, plan });
    await createRestoreBase(world.deps)({ ref, plan });
    expect(await dies(await start('combineIncrementals', { ref, plan }, fault))).toBe('SIGKILL');
    const combined = await createCombineIncrementals(world.deps)({ ref, plan });
    expect(combined).toMatchObject({ outcome: 'combined', verifiedBy: 'pg_verifybackup of the combined base' });
    const names = await readdir(placeOf(world.config, ref).dir);
    expect(names).toContain('data');
    expect(names.filter((name) => /^(base-\d|data\.tmp)$/.test(name))).toEqual([]);
    await createReplayWal(world.deps)({ ref, plan });
    expect((await createVerifySandbox(world.deps)({ ref, plan })).ok).toBe(true);
  },
);

test('replay-wal, killed while the server replays: the same server is watched by the next attempt', async () => {
  const ref = sandbox('dead-replay');
  const plan = await planOf(world);
  const place = placeOf(world.config, ref);
  await createPrepareSandbox(world.deps)({ ref, plan });
  await writeFile(path.join(world.archive, 'hold-wal'), '');
  await createRestoreBase(world.deps)({ ref, plan });
  await createCombineIncrementals(world.deps)({ ref, plan });
  const child = await start('replayWal', { ref, plan });
  await until(async () => (await readPostmaster(place.dataDir)).state === 'running');
  child.kill('SIGKILL');
  await dies(child);
  const before = await readPostmaster(place.dataDir);
  expect(before.state).toBe('running');
  const second = createReplayWal(world.deps)({ ref, plan });
  await rm(path.join(world.archive, 'hold-wal'));
  const replayed = await second;
  expect(before.state === 'running' ? before.pid : null).toBe(replayed.pid);
  expect(await fetched()).toBe(1);
});

test.each(['fast', 'immediate'] as const)(
  'the server of the sandbox, stopped from outside (%s) during replay: the attempt can be repeated and goes on',
  async (mode) => {
    const ref = sandbox(`stopped-${mode}`);
    const plan = await planOf(world);
    const place = placeOf(world.config, ref);
    await createPrepareSandbox(world.deps)({ ref, plan });
    await writeFile(path.join(world.archive, 'hold-wal'), '');
    await createRestoreBase(world.deps)({ ref, plan });
    await createCombineIncrementals(world.deps)({ ref, plan });
    const first = createReplayWal(world.deps)({ ref, plan });
    const failed = expect(first).rejects.toMatchObject({ type: 'DatabaseUnavailable', nonRetryable: false });
    await until(async () => (await readPostmaster(place.dataDir)).state === 'running');
    await stopServer({ dataDir: place.dataDir, mode });
    await failed;
    await rm(path.join(world.archive, 'hold-wal'));
    expect((await createReplayWal(world.deps)({ ref, plan })).replayedTo).toBe(world.kept.time);
  },
);

test('the mover, killed after the bases were combined: the next attempt fetches the rest of the WAL and no base', async () => {
  const ref = sandbox('dead-mover');
  const plan = await planOf(world);
  await createPrepareSandbox(world.deps)({ ref, plan });
  await writeFile(path.join(world.archive, 'hold-wal'), '');
  await createRestoreBase(world.deps)({ ref, plan });
  await createCombineIncrementals(world.deps)({ ref, plan });
  const jobDir = world.deps.jobs.directory(`${ref.runId}.restore-base`);
  const [command = '', , wrapper = ''] = (await readFile(path.join(jobDir, 'pid'), 'utf8')).split('\n');
  process.kill(Number(wrapper), 'SIGKILL');
  process.kill(Number(command), 'SIGKILL');
  await rm(path.join(world.archive, 'hold-wal'));
  expect((await createReplayWal(world.deps)({ ref, plan })).replayedTo).toBe(world.kept.time);
  const lines = (await readFile(path.join(world.archive, 'fetched'), 'utf8')).trim().split('\n');
  expect(lines).toEqual(['["full"]', '[]']);
  expect(await readdir(placeOf(world.config, ref).dir)).not.toContain('base-0');
});

test('verify-sandbox, killed: it only reads, so it is simply done again', async () => {
  const ref = sandbox('dead-verify');
  const plan = await planOf(world);
  for (const step of [createPrepareSandbox, createRestoreBase, createCombineIncrementals, createReplayWal]) {
    await step(world.deps)({ ref, plan });
  }
  const child = await start('verifySandbox', { ref, plan });
  await delay(250);
  child.kill('SIGKILL');
  await dies(child);
  expect((await createVerifySandbox(world.deps)({ ref, plan })).ok).toBe(true);
});

test('discard-sandbox, killed before the marker goes: what is left is still known to be ours and removed', async () => {
  const ref = sandbox('dead-discard');
  const plan = await planOf(world);
  const place = placeOf(world.config, ref);
  for (const step of [createPrepareSandbox, createRestoreBase, createCombineIncrementals, createReplayWal]) {
    await step(world.deps)({ ref, plan });
  }
  expect(await dies(await start('discardSandbox', { ref, plan }, FAULT_DISCARD_BEFORE_MARKER))).toBe('SIGKILL');
  expect(await readdir(place.dir)).toEqual(['marker.json']);
  expect((await createReadSandbox(world.deps)({ ref })).state).toBe('discarded');
  expect((await createDiscardSandbox(world.deps)({ ref })).outcome).toBe('discarded');
  expect((await createDiscardSandbox(world.deps)({ ref })).outcome).toBe('already-gone');
  expect((await readPostmaster(place.dataDir)).state).toBe('stopped');
});
