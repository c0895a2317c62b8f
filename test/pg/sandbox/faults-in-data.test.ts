/**
 * Scenario: recoveries that cannot reach their target, and sandboxes that are not what they were. Verified: (1) each is a typed failure or a row of evidence
 * with the facts in it; (2) nothing of others is touched; (3) once mended, the same step goes on.
 */
import { createServer, type Server } from 'node:net';
import { copyFile, mkdir, open, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
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
import { changeMarker, requireMarker } from '../../../activities/postgres/sandbox/marker.js';
import { baseDirOf, placeOf, type SandboxPlace } from '../../../activities/postgres/sandbox/place.js';
import { connectSandbox } from '../../../activities/postgres/sandbox/session.js';
import { pollUntil } from '../../../activities/lib/poll.js';
import { pathExists } from '../../../activities/postgres/data-directory.js';
import { readPostmaster } from '../../../activities/postgres/postmaster.js';
import { stopServer } from '../../../activities/postgres/server.js';
import type { RecoveryPlan } from '../../../shared/contracts/plan.js';
import type { SandboxRef } from '../../../shared/contracts/sandbox.js';
import { formatLsn, lsnToBigInt, parseLsn } from '../../../shared/lsn.js';
import { makeWorld, planOf, refOf, type World } from './support.js';

jest.setTimeout(60_000);

let world: World;
let run: ReturnType<typeof stepsOf>;
const opened: SandboxRef[] = [];

function stepsOf(of: World) {
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

beforeAll(async () => {
  world = await makeWorld();
  run = stepsOf(world);
});

afterAll(async () => {
  await world.destroy();
});

afterEach(async () => {
  for (const ref of opened.splice(0)) {
    const place = placeOf(world.config, ref);
    await world.deps.jobs.end(`${ref.runId}.restore-base`);
    await stopServer({ dataDir: place.dataDir, mode: 'immediate' });
    await changeMarker(place, { state: 'stopped' }).catch(() => undefined);
    await run.discard({ ref }).catch(() => undefined);
  }
});

function sandbox(name: string): { ref: SandboxRef; place: SandboxPlace } {
  const ref = refOf(name);
  opened.push(ref);
  return { ref, place: placeOf(world.config, ref) };
}

async function restored(ref: SandboxRef, plan: RecoveryPlan): Promise<void> {
  await run.prepare({ ref, plan });
  await run.restore({ ref, plan });
  await run.combine({ ref, plan });
}

describe('a directory that is not ours', () => {
  test('with files of somebody else is refused and stays as it is', async () => {
    const { ref, place } = sandbox('foreign-files');
    await mkdir(place.dir, { recursive: true });
    await writeFile(path.join(place.dir, 'precious.txt'), 'keep me');
    const plan = await planOf(world);
    await expect(run.prepare({ ref, plan })).rejects.toMatchObject({
      type: 'SandboxNotOurs',
      message: expect.stringContaining('precious.txt') as unknown,
    });
    await expect(run.discard({ ref })).rejects.toMatchObject({ type: 'SandboxNotOurs' });
    expect(await readdir(place.dir)).toEqual(['precious.txt']);
    expect((await run.read({ ref })).state).toBe('unknown');
    await rm(place.dir, { recursive: true });
  });

  test('with the marker of another run is refused by every step', async () => {
    const { ref, place } = sandbox('foreign-marker');
    const plan = await planOf(world);
    await run.prepare({ ref, plan });
    const before = await readFile(place.markerFile, 'utf8');
    const other = { ...ref, runId: 'other', run: 'shop/pitr/other' };
    for (const step of [run.prepare, run.restore, run.combine, run.replay, run.verify]) {
      await expect(step({ ref: other, plan })).rejects.toMatchObject({ type: 'SandboxNotOurs' });
    }
    await expect(run.discard({ ref: other })).rejects.toMatchObject({ type: 'SandboxNotOurs' });
    expect(await readFile(place.markerFile, 'utf8')).toBe(before);
  });

  test.each([
    ['the data directory itself', (w: World) => w.primary.dataDir],
    ['a directory in it', (w: World) => path.join(w.primary.dataDir, 'base')],
    ['a directory above it', (w: World) => path.dirname(path.dirname(w.primary.dataDir))],
  ])('because it is %s is refused before anything is made', async (_, dirOf) => {
    const environment = world.config.environments['shop']!;
    const dir = dirOf(world);
    const config = {
      ...world.config,
      environments: { shop: { ...environment, sandbox: { ...environment.sandbox, dir: path.dirname(dir) } } },
    };
    const ref = { ...refOf('x'), sandbox: path.basename(dir) };
    const prepare = createPrepareSandbox({ config });
    const before = await readdir(dir);
    await expect(prepare({ ref, plan: await planOf(world) })).rejects.toMatchObject({ type: 'SandboxNotOurs' });
    expect(await readdir(dir)).toEqual(before);
  });

  test('through a link into the data directory is refused', async () => {
    const environment = world.config.environments['shop']!;
    const link = path.join(world.dir, 'link');
    await symlink(world.primary.dataDir, link);
    const config = {
      ...world.config,
      environments: { shop: { ...environment, sandbox: { ...environment.sandbox, dir: link } } },
    };
    await expect(
      createPrepareSandbox({ config })({ ref: refOf('x'), plan: await planOf(world) }),
    ).rejects.toMatchObject({
      type: 'SandboxNotOurs',
    });
    expect(await readdir(world.primary.dataDir)).not.toContain('x');
  });
});

test('a file system that is too small is refused before anything is made', async () => {
  const { ref, place } = sandbox('small');
  const plan = await planOf(world, { needBytes: 1e18 });
  await expect(run.prepare({ ref, plan })).rejects.toMatchObject({ type: 'SpaceMissing' });
  expect(await readdir(place.root).catch(() => [])).not.toContain('small');
});

test('the sandbox of another plan of the same run is refused', async () => {
  const { ref } = sandbox('replanned');
  const plan = await planOf(world);
  await run.prepare({ ref, plan });
  await expect(run.prepare({ ref, plan: { ...plan, hash: 'e'.repeat(64) } })).rejects.toMatchObject({
    type: 'SandboxNotOurs',
  });
});

describe('ports', () => {
  let listener: Server | null = null;

  afterEach(async () => {
    await new Promise<void>((resolve) => {
      if (listener === null) resolve();
      else
        listener.close(() => {
          resolve();
        });
    });
    listener = null;
  });

  const listen = (port: number): Promise<void> =>
    new Promise((resolve) => {
      listener = createServer().listen(port, '127.0.0.1', resolve);
    });

  test('one that is taken after the sandbox was prepared is left for another one, of which every later step knows', async () => {
    const { ref } = sandbox('taken');
    const plan = await planOf(world);
    await restored(ref, plan);
    const { port } = await run.prepare({ ref, plan });
    await listen(port);
    const replayed = await run.replay({ ref, plan });
    expect(replayed.port).not.toBe(port);
    expect((await run.prepare({ ref, plan })).port).toBe(replayed.port);
    expect((await run.verify({ ref, plan })).checks.filter(({ ok }) => !ok)).toEqual([]);
  });

  test('two sandboxes get two, also while neither server runs', async () => {
    const first = sandbox('one').ref;
    const second = sandbox('two').ref;
    const plan = await planOf(world);
    const [a, b] = [await run.prepare({ ref: first, plan }), await run.prepare({ ref: second, plan })];
    expect(a.port).not.toBe(b.port);
  });

  test('none left is said with the range', async () => {
    const environment = world.config.environments['shop']!;
    await listen(0);
    const address = listener!.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    const sandboxConfig = { ...environment.sandbox, ports: [port, port] as [number, number] };
    const config = { ...world.config, environments: { shop: { ...environment, sandbox: sandboxConfig } } };
    const { ref } = sandbox('no-port');
    await expect(createPrepareSandbox({ config })({ ref, plan: await planOf(world) })).rejects.toMatchObject({
      type: 'PortTaken',
      message: `no port is free for the sandbox in ${String(port)}-${String(port)}`,
    });
  });
});

describe('a recovery that cannot get there', () => {
  test('says that the WAL ended before the target', async () => {
    const { ref } = sandbox('unreachable');
    const beyond = formatLsn(lsnToBigInt(world.dropped.lsn) + 0x4000_0000n);
    const plan = await planOf(world, { stop: { kind: 'lsn', lsn: beyond, inclusive: true } });
    await restored(ref, plan);
    await expect(run.replay({ ref, plan })).rejects.toMatchObject({
      type: 'RecoveryStopped',
      message: expect.stringContaining('the WAL ended before the target was reached') as unknown,
    });
  });

  test('says that the target lies before the end of the base', async () => {
    const { ref } = sandbox('too-early');
    const start = world.full[0]!.startLsn;
    const plan = await planOf(world, { stop: { kind: 'lsn', lsn: start, inclusive: true } });
    await restored(ref, plan);
    await expect(run.replay({ ref, plan })).rejects.toMatchObject({
      type: 'RecoveryStopped',
      message: expect.stringContaining('the target lies before the end of the base') as unknown,
    });
  });

  test('names the damaged WAL, and goes on when the segment was repaired', async () => {
    const { ref, place } = sandbox('damaged');
    const plan = await planOf(world);
    await restored(ref, plan);
    // The segment with the last kept commit: the transfer of everything has to end first.
    await world.deps.jobs.run({ id: `${ref.runId}.restore-base`, argv: ['/bin/false'] });
    const name = world.segments.find(
      (segment) => BigInt(`0x${segment.slice(16)}`) === lsnToBigInt(world.kept.lsn) / 16_777_216n,
    )!;
    const file = await open(path.join(place.walDir, name), 'r+');
    const offset = Number(lsnToBigInt(world.kept.lsn) % 16_777_216n);
    await file.write(Buffer.from('damage'), 0, 6, offset + 26);
    await file.close();
    await expect(run.replay({ ref, plan })).rejects.toMatchObject({
      type: 'WalCorrupt',
      message: expect.stringMatching(/damaged WAL: .*checksum in record at/) as unknown,
    });
    await rm(path.join(place.walDir, name));
    await copyFile(path.join(world.archive, 'wal', name), path.join(place.walDir, name));
    const { chown } = await import('node:fs/promises');
    await chown(path.join(place.walDir, name), world.primary.owner.uid, world.primary.owner.gid);
    expect((await run.replay({ ref, plan })).replayedTo).toBe(world.kept.time);
  });

  test('says which segment never came, and goes on when it is there', async () => {
    const { ref } = sandbox('hole');
    const plan = await planOf(world);
    const name = world.segments.find(
      (segment) => BigInt(`0x${segment.slice(16)}`) === lsnToBigInt(world.kept.lsn) / 16_777_216n,
    )!;
    const archived = path.join(world.archive, 'wal', name);
    await copyFile(archived, path.join(world.dir, name));
    await rm(archived);
    await restored(ref, plan);
    await expect(run.replay({ ref, plan })).rejects.toMatchObject({
      type: 'RecoveryStopped',
      message: expect.stringContaining(name) as unknown,
    });
    await copyFile(path.join(world.dir, name), archived);
  });

  test('passes the failure of the transfer, and a retry starts the transfer again', async () => {
    const { ref } = sandbox('transfer');
    const plan = await planOf(world);
    await run.prepare({ ref, plan });
    const failure = {
      type: 'BackupCorrupt',
      message: 'chunk 3 of base full does not match its SHA-256',
      hint: 'take a base',
    };
    const file = path.join(world.archive, 'fail.json');
    await writeFile(file, JSON.stringify({ failure }));
    await expect(run.restore({ ref, plan })).rejects.toMatchObject({ type: 'BackupCorrupt', message: failure.message });
    await rm(file);
    expect((await run.restore({ ref, plan })).files).toBe(20);
  });

  test('a plan that knows smaller settings than the base has: those of the base count', async () => {
    const { ref } = sandbox('settings');
    const plan = await planOf(world);
    const minimumSettings = { ...plan.minimumSettings, maxConnections: 10 };
    await restored(ref, { ...plan, minimumSettings });
    expect((await run.replay({ ref, plan: { ...plan, minimumSettings } })).replayedTo).toBe(world.kept.time);
  });

  test('says which setting is too small, when the primary raised it after the base', async () => {
    const { ref } = sandbox('raised');
    const { primary, archive } = world;
    const { minimumSettings } = await planOf(world);
    await primary.query('alter system set max_connections = 300');
    await primary.stop();
    await primary.start();
    await primary.query('create table afterwards ()');
    const [row] = await primary.query<{ lsn: string; name: string }>(
      'select pg_current_wal_insert_lsn()::text as lsn, pg_walfile_name(pg_switch_wal()) as name',
    );
    const archived = path.join(archive, 'wal', row!.name);
    expect(await pollUntil(async () => ((await pathExists(archived)) ? true : null), { timeoutMs: 20_000 })).toBe(true);
    const stop = { kind: 'lsn', lsn: parseLsn(row!.lsn)!, inclusive: true } as const;
    const plan = await planOf(world, { stop, minimumSettings, lastSegment: row!.name });
    await restored(ref, plan);
    await expect(run.replay({ ref, plan })).rejects.toMatchObject({
      type: 'RecoveryStopped',
      message: expect.stringContaining('max_connections') as unknown,
    });
  });
});

describe('a base', () => {
  test('of another cluster is refused', async () => {
    const { ref } = sandbox('other-cluster');
    const plan = { ...(await planOf(world)), systemIdentifier: '123' };
    await run.prepare({ ref, plan });
    await run.restore({ ref, plan });
    await expect(run.combine({ ref, plan })).rejects.toMatchObject({ type: 'IdentityMismatch' });
  });

  test('with a tablespace outside of it is never started: recovery would write there', async () => {
    const { ref, place } = sandbox('tablespace');
    const plan = await planOf(world);
    await run.prepare({ ref, plan });
    await run.restore({ ref, plan });
    await symlink(world.primary.dataDir, path.join(place.dir, 'base-0', 'pg_tblspc', '16999'));
    await expect(run.combine({ ref, plan })).rejects.toMatchObject({ type: 'BackupCorrupt' });
  });

  test('whose combined files do not verify is named, and made again by the next attempt', async () => {
    const { ref, place } = sandbox('damaged-base');
    const plan = await planOf(world, { baseChain: world.chain });
    await run.prepare({ ref, plan });
    await run.restore({ ref, plan });
    const table = path.join(place.dir, 'base-0', 'global', '1262');
    const good = await readFile(table);
    const file = await open(table, 'r+');
    await file.write(Buffer.from('damage'), 0, 6, 200);
    await file.close();
    await expect(run.combine({ ref, plan })).rejects.toMatchObject({
      type: 'BackupCorrupt',
      message: expect.stringContaining('checksum mismatch for file "global/1262"') as unknown,
    });
    await writeFile(table, good);
    expect((await run.combine({ ref, plan })).outcome).toBe('combined');
  });
});

describe('a sandbox that somebody promoted by hand', () => {
  async function promotedByHand(name: string): Promise<{ ref: SandboxRef; place: SandboxPlace; plan: RecoveryPlan }> {
    const { ref, place } = sandbox(name);
    const plan = await planOf(world);
    await restored(ref, plan);
    await run.replay({ ref, plan });
    const marker = await requireMarker(place);
    await connectSandbox(place, marker, {}, (client) => client.query('select pg_promote(true, 30)'));
    return { ref, place, plan };
  }

  test('is tainted, and the evidence says so', async () => {
    const { ref, plan } = await promotedByHand('tainted');
    const verified = await run.verify({ ref, plan });
    expect(verified.ok).toBe(false);
    const isolated = verified.checks.find((check) => check.check === 'sandbox-isolated');
    expect(isolated).toMatchObject({ ok: false, actual: expect.stringContaining('tainted') as unknown });
    expect((await run.read({ ref })).state).toBe('tainted');
    await expect(run.replay({ ref, plan })).rejects.toMatchObject({ type: 'SandboxTainted' });
  });

  test('stays tainted after it was stopped, even when nobody had looked', async () => {
    const { ref, place, plan } = await promotedByHand('tainted-stopped');
    await stopServer({ dataDir: place.dataDir });
    await expect(run.replay({ ref, plan })).rejects.toMatchObject({ type: 'SandboxTainted' });
    expect((await run.discard({ ref })).outcome).toBe('discarded');
  });
});

describe('a paused sandbox', () => {
  test('whose server was killed is brought back to the same place by a look at it', async () => {
    const { ref, place } = sandbox('killed');
    const plan = await planOf(world);
    await restored(ref, plan);
    const before = await run.replay({ ref, plan });
    await stopServer({ dataDir: place.dataDir, mode: 'immediate' });
    const seen = await run.read({ ref });
    expect(seen).toMatchObject({ state: 'paused', replayLsn: before.replayLsn, port: before.port });
    expect((await run.verify({ ref, plan })).ok).toBe(true);
  });

  test('that was not stopped cleanly before the host restarted is not trusted: it ran without fsync', async () => {
    const { ref, place } = sandbox('rebooted');
    const plan = await planOf(world);
    await restored(ref, plan);
    await run.replay({ ref, plan });
    await stopServer({ dataDir: place.dataDir, mode: 'immediate' });
    await changeMarker(place, { boot: 'an earlier boot' });
    await expect(run.replay({ ref, plan })).rejects.toMatchObject({
      type: 'SandboxTainted',
      message: expect.stringContaining('the host restarted') as unknown,
    });
  });

  test('whose base was fetched before the host restarted has it fetched again: nothing of it was flushed', async () => {
    const { ref, place } = sandbox('rebooted-restored');
    const plan = await planOf(world);
    await run.prepare({ ref, plan });
    await run.restore({ ref, plan });
    const hole = path.join(baseDirOf(place, 0), 'PG_VERSION');
    await writeFile(hole, '');
    await changeMarker(place, { boot: 'an earlier boot' });
    await expect(run.combine({ ref, plan })).rejects.toMatchObject({ type: 'SandboxTainted' });
    await run.restore({ ref, plan });
    expect(await readFile(hole, 'utf8')).not.toBe('');
    await run.combine({ ref, plan });
    expect((await run.replay({ ref, plan })).replayLsn).not.toBeNull();
  });

  test('that was stopped cleanly before the host restarted comes back', async () => {
    const { ref, place } = sandbox('rebooted-clean');
    const plan = await planOf(world);
    await restored(ref, plan);
    await run.replay({ ref, plan });
    await stopServer({ dataDir: place.dataDir });
    await changeMarker(place, { boot: 'an earlier boot' });
    expect((await run.read({ ref })).state).toBe('paused');
  });

  test('that was opened for writes is not started again', async () => {
    const { ref, place } = sandbox('opened');
    const plan = await planOf(world);
    await restored(ref, plan);
    await run.replay({ ref, plan });
    await stopServer({ dataDir: place.dataDir });
    await changeMarker(place, { state: 'tainted' });
    await expect(run.replay({ ref, plan })).rejects.toMatchObject({ type: 'SandboxTainted' });
    expect((await readPostmaster(place.dataDir)).state).toBe('stopped');
  });

  test('that is being promoted is neither started nor discarded', async () => {
    const { ref, place } = sandbox('promoting');
    const plan = await planOf(world);
    await restored(ref, plan);
    await run.replay({ ref, plan });
    await stopServer({ dataDir: place.dataDir });
    await changeMarker(place, { state: 'promoting' });
    await expect(run.discard({ ref })).rejects.toMatchObject({ type: 'PreconditionFailed' });
    await expect(run.replay({ ref, plan })).rejects.toMatchObject({ type: 'PreconditionFailed' });
    expect((await run.read({ ref })).state).toBe('promoting');
    expect((await readPostmaster(place.dataDir)).state).toBe('stopped');
  });
});

describe('evidence', () => {
  test('shows a recovery that went too far: the dropped transaction is committed', async () => {
    const { ref } = sandbox('too-far');
    const right = await planOf(world);
    const wrong: RecoveryPlan = { ...right, stop: { kind: 'lsn', lsn: world.dropped.lsn, inclusive: true } };
    await restored(ref, wrong);
    await run.replay({ ref, plan: wrong });
    const verified = await run.verify({ ref, plan: wrong });
    const failed = verified.checks.filter((check) => !check.ok).map((check) => check.check);
    expect(failed).toEqual(
      expect.arrayContaining(['dropped-commit', 'check: orders are there', 'check: the last one is the right one']),
    );
  });

  test('with a table that a transaction in progress at T holds locked names it and does not hang', async () => {
    const { ref } = sandbox('locked');
    // The transaction that will be dropped truncates first; another one commits meanwhile.
    const pg = await import('pg');
    const bad = new pg.default.Client({ connectionString: world.primary.url });
    await bad.connect();
    await world.primary.query('create table if not exists locked_one (id int)');
    await bad.query('begin');
    await bad.query('truncate locked_one');
    const [kept] = await world.primary.query<{ xid: string; lsn: string }>(
      `with done as (insert into "Odd name" values (1) returning 1) select pg_current_xact_id()::text as xid, pg_current_wal_lsn()::text as lsn, (select count(*) from done)`,
    );
    const [after] = await world.primary.query<{ lsn: string }>('select pg_current_wal_insert_lsn()::text as lsn');
    await bad.query('commit');
    await bad.end();
    const [last] = await world.primary.query<{ name: string }>('select pg_walfile_name(pg_switch_wal()) as name');
    const archived = path.join(world.archive, 'wal', last!.name);
    const deadline = Date.now() + 20_000;
    while ((await readFile(archived).catch(() => null)) === null && Date.now() < deadline) {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    const plan = await planOf(world, {
      stop: { kind: 'lsn', lsn: after!.lsn as never, inclusive: false },
      lastSegment: last!.name,
      boundary: { kept: { xid: kept!.xid, lsn: kept!.lsn as never, time: world.kept.time }, dropped: null },
    });
    await restored(ref, plan);
    await run.replay({ ref, plan });
    const verified = await run.verify({ ref, plan });
    const counts = verified.checks.find((check) => check.check === 'row-counts');
    expect(counts).toMatchObject({
      ok: true,
      note: expect.stringContaining('public.locked_one: a transaction in progress at T') as unknown,
    });
    expect(verified.seconds).toBeLessThan(8);
  });
});
