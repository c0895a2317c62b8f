/**
 * Scenario: an archive with a mistake in it, recovered into a sandbox by the six steps, each called twice. Verified: (1) paused exactly at the boundary,
 * proven by log, position and transactions; (2) isolated and read-only; (3) production untouched; (4) nothing is left after discard.
 */
import { MockActivityEnvironment } from '@temporalio/testing';
import { access, readdir, readFile } from 'node:fs/promises';
import path from 'node:path';

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
import type { RecoveryPlan } from '../../../shared/contracts/plan.js';
import type { SandboxRef } from '../../../shared/contracts/sandbox.js';
import { stopServer } from '../../../activities/postgres/server.js';
import { connectSandbox } from '../../../activities/postgres/sandbox/session.js';
import { placeOf } from '../../../activities/postgres/sandbox/place.js';
import { requireMarker } from '../../../activities/postgres/sandbox/marker.js';
import { makeWorld, planOf, refOf, type World } from './support.js';
import { testTools } from '../../support/tools.js';

jest.setTimeout(120_000);

let world: World;

beforeAll(async () => {
  world = await makeWorld({
    configure: (environment) => {
      environment['verify'] = { statementTimeout: '10s', amcheck: 'full' };
    },
  });
});

afterAll(async () => {
  await world.destroy();
});

const opened: SandboxRef[] = [];

afterEach(async () => {
  for (const ref of opened.splice(0)) {
    await world.deps.jobs.end(`${ref.runId}.restore-base`);
    await stopServer({ dataDir: placeOf(world.config, ref).dataDir, mode: 'immediate' });
    await createDiscardSandbox(world.deps)({ ref }).catch(() => undefined);
  }
});

function steps(of: World = world) {
  return {
    prepare: createPrepareSandbox(of.deps),
    restore: createRestoreBase(of.deps),
    combine: createCombineIncrementals(of.deps),
    replay: createReplayWal(of.deps),
    verify: createVerifySandbox(of.deps),
    read: createReadSandbox(of.deps),
    discard: createDiscardSandbox(of.deps),
  };
}

function sandbox(name: string): SandboxRef {
  const ref = refOf(name);
  opened.push(ref);
  return ref;
}

async function recover(ref: SandboxRef, plan: RecoveryPlan): Promise<void> {
  const run = steps();
  await run.prepare({ ref, plan });
  await run.restore({ ref, plan });
  await run.combine({ ref, plan });
  await run.replay({ ref, plan });
}

test('a full base is paused exactly at the boundary, and every step reports the same when it is called again', async () => {
  const run = steps();
  const ref = sandbox('full');
  const plan = await planOf(world);
  const prepared = await run.prepare({ ref, plan });
  expect(await run.prepare({ ref, plan })).toEqual(prepared);
  expect((await run.read({ ref })).state).toBe('prepared');

  const restored = await run.restore({ ref, plan });
  expect(restored).toMatchObject({ baseBytes: 10, files: 20, chunksVerified: 3 });
  expect(await run.restore({ ref, plan })).toMatchObject({ files: 20 });
  expect((await run.read({ ref })).state).toBe('restored');

  const combined = await run.combine({ ref, plan });
  expect(combined).toMatchObject({ outcome: 'nothing-to-combine', method: 'rename' });
  expect(await run.combine({ ref, plan })).toEqual(combined);

  const replayed = await run.replay({ ref, plan });
  expect(replayed.logLine).toContain(`recovery stopping after WAL location (LSN) "${world.kept.lsn}"`);
  expect(replayed.port).toBe(prepared.port);
  expect(replayed.replayedTo).toBe(world.kept.time);
  expect(await run.replay({ ref, plan })).toEqual(replayed);
  expect(await run.read({ ref })).toEqual({
    state: 'paused',
    dir: prepared.dir,
    port: prepared.port,
    url: prepared.url,
    replayLsn: replayed.replayLsn,
  });

  const verified = await run.verify({ ref, plan });
  expect(verified.checks.filter((check) => !check.ok)).toEqual([]);
  expect(verified.ok).toBe(true);
  expect(verified.checks.map((check) => check.check)).toEqual([
    'target-reached',
    'target-position',
    'kept-commit',
    'dropped-commit',
    'sandbox-isolated',
    'heartbeat',
    'base-checksums',
    'amcheck',
    'row-counts',
    'check: orders are there',
    'check: the last one is the right one',
    'check: no negative totals',
  ]);
  const amcheck = verified.checks.find((check) => check.check === 'amcheck');
  expect(amcheck).toMatchObject({ actual: 'nothing found', note: expect.stringContaining('template1') as unknown });
  expect(verified.counts[0]).toEqual({ table: 'public.orders', sandbox: 20_101, production: 1 });
  expect(verified.counts).toContainEqual({ table: 'public."Odd name"', sandbox: 0, production: 0 });
  expect(verified.checks.find((check) => check.check === 'row-counts')?.note).toContain('public.cache: it is unlogged');

  // Not touched: the primary still has its mistake, its archive and its data directory.
  expect(await world.primary.query('select count(*)::int as n from orders')).toEqual([{ n: 1 }]);
  expect((await readPostmaster(world.primary.dataDir)).state).toBe('running');

  const marker = await requireMarker(placeOf(world.config, ref));
  await access(marker.socketDir);
  const discarded = await run.discard({ ref });
  expect(discarded.outcome).toBe('discarded');
  expect(discarded.freedBytes).toBeGreaterThan(1_000_000);
  expect(await run.discard({ ref })).toEqual({ outcome: 'already-gone', freedBytes: 0 });
  await expect(access(prepared.dir)).rejects.toThrow('ENOENT');
  await expect(access(marker.socketDir)).rejects.toThrow('ENOENT');
  expect((await run.read({ ref })).state).toBe('discarded');
});

test('a chain of bases is combined, verified and replayed', async () => {
  const run = steps();
  const ref = sandbox('chain');
  const plan = await planOf(world, { baseChain: world.chain });
  await run.prepare({ ref, plan });
  await run.restore({ ref, plan });
  const combined = await run.combine({ ref, plan });
  expect(combined).toMatchObject({ outcome: 'combined', verifiedBy: 'pg_verifybackup of the combined base' });
  expect(await run.combine({ ref, plan })).toEqual(combined);
  expect(await readdir(placeOf(world.config, ref).dir)).not.toContain('base-0');
  await run.replay({ ref, plan });
  const verified = await run.verify({ ref, plan });
  expect(verified.checks.filter((check) => !check.ok)).toEqual([]);
});

test('PostgreSQL 17 does the same', async () => {
  const { postgres17Bin } = await testTools();
  if (postgres17Bin === undefined) return;
  const old = await makeWorld({ binDir: postgres17Bin });
  const ref = refOf('seventeen');
  const run = steps(old);
  try {
    const plan = await planOf(old, { baseChain: old.chain });
    await run.prepare({ ref, plan });
    await run.restore({ ref, plan });
    expect((await run.combine({ ref, plan })).outcome).toBe('combined');
    await run.replay({ ref, plan });
    const verified = await run.verify({ ref, plan });
    expect(verified.checks.filter((check) => !check.ok)).toEqual([]);
  } finally {
    await run.discard({ ref });
    await old.destroy();
  }
});

test('an exclusive stop leaves out the transaction whose commit it names', async () => {
  const ref = sandbox('exclusive');
  const plan = await planOf(world, { stop: { kind: 'lsn', lsn: world.dropped.lsn, inclusive: false } });
  await recover(ref, plan);
  const verified = await steps().verify({ ref, plan });
  expect(verified.checks.filter((check) => !check.ok)).toEqual([]);
  expect(verified.checks[0]?.actual).toContain(`recovery stopping before WAL location (LSN) "${world.dropped.lsn}"`);
});

test('an immediate target stops at the end of the base', async () => {
  const ref = sandbox('immediate');
  const plan = await planOf(world, {
    stop: { kind: 'immediate' },
    target: { kind: 'immediate' },
    boundary: { kept: null, dropped: world.kept },
  });
  await recover(ref, plan);
  const verified = await steps().verify({ ref, plan });
  const failed = verified.checks.filter((check) => !check.ok).map((check) => check.check);
  // The user's own checks are for later data; everything about the target holds.
  expect(failed).toEqual(['check: the last one is the right one']);
});

test('the server refuses writes and shows that it is isolated', async () => {
  const ref = sandbox('isolated');
  const plan = await planOf(world);
  await recover(ref, plan);
  const place = placeOf(world.config, ref);
  const marker = await requireMarker(place);
  await connectSandbox(place, marker, { database: 'postgres' }, async (client) => {
    await expect(client.query('delete from orders')).rejects.toThrow('read-only');
    const { rows } = await client.query<{ name: string; setting: string }>(
      `select name, setting from pg_settings where name in ('archive_mode', 'archive_command', 'primary_conninfo', 'fsync', 'shared_preload_libraries', 'listen_addresses') order by name`,
    );
    expect(Object.fromEntries(rows.map((row) => [row.name, row.setting]))).toEqual({
      archive_command: '(disabled)',
      archive_mode: 'off',
      fsync: 'off',
      listen_addresses: '127.0.0.1',
      primary_conninfo: '',
      shared_preload_libraries: 'pg_stat_statements',
    });
  });
  // Nothing of the sandbox is in the data directory but recovery.signal.
  expect(await readFile(path.join(place.dataDir, 'postgresql.auto.conf'), 'utf8')).not.toContain('recovery_target');
});

test('WAL that comes late is waited for, and progress tells the position meanwhile', async () => {
  const { writeFile, rm } = await import('node:fs/promises');
  const hold = path.join(world.archive, 'hold-wal');
  await writeFile(hold, '');
  const ref = sandbox('late');
  const plan = await planOf(world);
  const run = steps();
  await run.prepare({ ref, plan });
  await run.restore({ ref, plan });
  await run.combine({ ref, plan });
  const environment = new MockActivityEnvironment();
  const beats: unknown[] = [];
  environment.on('heartbeat', (details: unknown) => {
    beats.push(details);
    if (beats.length === 2) void rm(hold, { force: true });
  });
  const replayed = await environment.run(run.replay, { ref, plan });
  expect(replayed).toMatchObject({ replayedTo: world.kept.time });
  expect(beats).toContainEqual(expect.objectContaining({ unit: 'lsn' }));
  await rm(hold, { force: true });
});
