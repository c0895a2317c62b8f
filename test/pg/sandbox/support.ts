/**
 * A primary with an archive, bases and a mistake in its history, and the dependencies of the sandbox activities around it. The mover is a small
 * program that copies from a folder: what is tested here is everything around the transfer.
 */
import { chown, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { createJobRunner } from '../../../activities/jobs/job-runner.js';
import type { BackupStore } from '../../../activities/lib/backup-store.js';
import type { ActivityDeps } from '../../../activities/lib/deps.js';
import { runProgramOrFail } from '../../../activities/lib/exec.js';
import { runAsOwner } from '../../../activities/postgres/data-directory.js';
import { requireControlData } from '../../../activities/postgres/control-data.js';
import { serverControl } from '../../../activities/postgres/server.js';
import { createRuntimes } from '../../../activities/runtime/create-runtimes.js';
import { configSchema, type Config } from '../../../config/schema.js';
import type { BaseRef, RecoveryPlan, TransactionPoint } from '../../../shared/contracts/plan.js';
import type { SandboxRef } from '../../../shared/contracts/sandbox.js';
import { parseLsn, type Lsn } from '../../../shared/lsn.js';
import { normaliseTimestamp } from '../../../shared/target-time.js';
import { serverOwner, startCluster, type Cluster } from '../../support/cluster.js';
import { MOVER_STUB } from '../../support/mover-stub.js';

export type World = {
  dir: string;
  archive: string;
  primary: Cluster;
  config: Config;
  deps: ActivityDeps;
  /** Chain of a full base, and of the same with an incremental one. */
  full: BaseRef[];
  chain: BaseRef[];
  kept: TransactionPoint;
  dropped: TransactionPoint;
  target: string;
  segments: string[];
  destroy(): Promise<void>;
};

export type WorldOptions = { binDir?: string; configure?: (environment: Record<string, unknown>) => void };

/** Time between the last kept and the first dropped commit, with heartbeats on both sides. */
export async function makeWorld(options: WorldOptions = {}): Promise<World> {
  const dir = await mkdtemp(path.join(tmpdir(), 'pgr-sandbox-'));
  const owner = await serverOwner();
  const archive = path.join(dir, 'archive');
  for (const folder of [dir, archive, path.join(archive, 'wal'), path.join(archive, 'bases')]) {
    await mkdir(folder, { recursive: true, mode: 0o755 });
    if (process.getuid?.() === 0) await chown(folder, owner.uid, owner.gid);
  }
  await writeFile(path.join(archive, 'mover.js'), MOVER_STUB, { mode: 0o644 });
  const primary = await startCluster({
    dir,
    ...(options.binDir === undefined ? {} : { binDir: options.binDir }),
    conf: [
      'archive_mode = on',
      `archive_command = 'cp %p ${archive}/wal/%f'`,
      "shared_preload_libraries = 'pg_stat_statements'",
    ],
  });
  try {
    return await fillWorld(dir, archive, primary, options);
  } catch (error) {
    await primary.destroy();
    throw error;
  }
}

async function fillWorld(dir: string, archive: string, primary: Cluster, options: WorldOptions): Promise<World> {
  await primary.query('create table orders (id int primary key, total int)');
  await primary.query('create table "Odd name" (id int)');
  await primary.query('create table empty_one ()');
  await primary.query('create unlogged table cache (id int)');
  await primary.query('create extension amcheck');
  await primary.query('create schema pgr');
  await primary.query('create table pgr.heartbeat (at timestamptz primary key, source text not null)');
  await primary.query('insert into orders select g, g from generate_series(1, 20000) g');
  const full = await takeBase(primary, archive, 'full', null);
  await primary.query('insert into orders select g, g from generate_series(20001, 20100) g');
  const incremental = await takeBase(primary, archive, 'incr', full);
  await beat(primary);
  const keptXid = await commit(primary, 'insert into orders values (999999, 7)');
  await delay(20);
  const [now] = await primary.query<{ now: string }>(
    `select to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as now`,
  );
  await delay(20);
  const droppedXid = await commit(primary, 'delete from orders');
  await beat(primary);
  await primary.query('insert into orders values (1, 1)');
  const segments = await archiveAll(primary, archive);
  const commits = await readCommits(primary, archive, segments);
  const point = (xid: string): TransactionPoint => {
    const found = commits.find((one) => one.xid === xid);
    if (found === undefined) throw new Error(`no commit of ${xid}`);
    return found;
  };
  const config = makeConfig(dir, primary, options);
  return {
    dir,
    archive,
    primary,
    config,
    deps: makeDeps(dir, archive, config),
    full: [full],
    chain: [full, incremental],
    kept: point(keptXid),
    dropped: point(droppedXid),
    target: now?.now ?? '',
    segments,
    destroy: async () => {
      await primary.destroy();
      await rm(dir, { recursive: true, force: true });
    },
  };
}

async function beat(primary: Cluster): Promise<void> {
  await primary.query(`insert into pgr.heartbeat values (clock_timestamp(), 'test')`);
}

async function commit(primary: Cluster, sql: string): Promise<string> {
  const [row] = await primary.query<{ xid: string }>(
    `with done as (${sql} returning 1) select pg_current_xact_id()::text as xid, (select count(*) from done) as rows`,
  );
  return row?.xid ?? '';
}

async function takeBase(primary: Cluster, archive: string, id: string, parent: BaseRef | null): Promise<BaseRef> {
  const target = path.join(archive, 'bases', id);
  const incremental =
    parent === null ? [] : [`--incremental=${path.join(archive, 'bases', parent.id, 'backup_manifest')}`];
  const args = ['-d', primary.url, '-D', target, '-X', 'none', '-c', 'fast', '--no-sync', ...incremental];
  await runProgramOrFail(path.join(primary.binDir, 'pg_basebackup'), args, runAsOwner(primary.owner));
  const [stop] = await primary.query<{ lsn: string }>('select pg_current_wal_lsn()::text as lsn');
  const label = await runProgramOrFail('cat', [path.join(target, 'backup_label')]);
  const start = parseLsn(/START WAL LOCATION: ([0-9A-F/]+)/.exec(label)?.[1] ?? '');
  const stopLsn = parseLsn(stop?.lsn ?? '');
  if (start === null || stopLsn === null) throw new Error('a base without LSN');
  const at = new Date().toISOString();
  return {
    id,
    kind: parent === null ? 'full' : 'incremental',
    startedAt: at,
    endedAt: at,
    startLsn: start,
    stopLsn,
    timeline: 1,
    parentId: parent?.id ?? null,
    bytes: 1,
    rawBytes: 1,
  };
}

async function archiveAll(primary: Cluster, archive: string): Promise<string[]> {
  const [last] = await primary.query<{ name: string }>('select pg_walfile_name(pg_switch_wal()) as name');
  const deadline = Date.now() + 20_000;
  for (;;) {
    const names = (await readdir(path.join(archive, 'wal'))).filter((name) => name.length === 24).sort();
    if (last !== undefined && names.includes(last.name)) return names;
    if (Date.now() > deadline) throw new Error('the archive does not get its last segment');
    await delay(20);
  }
}

async function readCommits(primary: Cluster, archive: string, segments: string[]): Promise<TransactionPoint[]> {
  const wal = path.join(archive, 'wal');
  const args = ['--rmgr=Transaction', '-p', wal, segments[0] ?? '', segments.at(-1) ?? ''];
  const text = await runProgramOrFail(path.join(primary.binDir, 'pg_waldump'), args).catch((error: unknown) => {
    // It ends with an error where the last segment is empty; what it printed before is complete.
    throw error instanceof Error ? error : new Error(String(error));
  });
  return text.split('\n').flatMap((line) => {
    const match = /tx: +(\d+), lsn: ([0-9A-F/]+), .*desc: COMMIT ([\d-]+ [\d:.]+ UTC)/.exec(line);
    const lsn = parseLsn((match?.[2] ?? '').replace(/\/0+(?=.)/, '/'));
    const time = normaliseTimestamp(match?.[3] ?? '');
    return match?.[1] === undefined || lsn === null || time === null ? [] : [{ xid: match[1], lsn, time }];
  });
}

function makeConfig(dir: string, primary: Cluster, options: WorldOptions): Config {
  const environment: Record<string, unknown> = {
    postgres: { user: 'postgres' },
    nodes: [
      {
        name: 'dallas',
        host: 'dallas',
        address: '127.0.0.1',
        port: primary.port,
        dataDir: primary.dataDir,
        binDir: primary.binDir,
        runtime: { kind: 'process' },
      },
    ],
    routing: {
      kind: 'multihost',
      url: `postgresql://postgres@127.0.0.1:${String(primary.port)}/postgres?target_session_attrs=read-write`,
    },
    backups: { kind: 's3', bucket: 'b', accessKeyId: 'env:PGR_TEST_KEY', secretAccessKey: 'env:PGR_TEST_KEY' },
    sandbox: { ports: portsOfThisProcess(), sharedBuffers: '32MB' },
    verify: { statementTimeout: '10s' },
    checks: [
      { name: 'orders are there', sql: 'select count(*) from orders', expect: '>= 20000' },
      { name: 'the last one is the right one', sql: 'select total from orders where id = 999999', expect: 7 },
      { name: 'no negative totals', sql: 'select id from orders where total < 0', expect: 'no rows' },
    ],
  };
  options.configure?.(environment);
  return configSchema.parse({
    version: 1,
    stateDir: path.join(dir, 'state'),
    record: { kind: 'directory', path: path.join(dir, 'record') },
    environments: { shop: environment },
  });
}

/** A range of its own for each test process: a port that is free while one sandbox is prepared must not go to a sandbox of another file. */
function portsOfThisProcess(): [number, number] {
  const first = 21_000 + (process.pid % 50) * 20;
  return [first, first + 19];
}

/** The dependencies of the sandbox activities; also used by the process that runs one activity and is killed. */
export function makeDeps(dir: string, archive: string, config: Config): ActivityDeps {
  const log = { info: () => undefined, warn: () => undefined };
  const store = { kind: 's3', fetchCommand: (spec: string) => [path.join(archive, 'mover.js'), spec] };
  const unused = (): never => {
    throw new Error('not used by sandboxes');
  };
  return {
    config,
    resolveSecret: () => Promise.resolve(''),
    jobs: createJobRunner({ stateDir: path.join(dir, 'state'), log }),
    store: () => Promise.resolve(store as unknown as BackupStore),
    program: { node: process.execPath, distDir: dir, configPath: path.join(dir, 'recovery.yaml') },
    runtime: createRuntimes(config, serverControl),
    routing: unused,
    poolers: unused,
    pauseGuard: unused,
    containers: unused,
    snapshot: unused,
    log,
  };
}

export function refOf(name: string): SandboxRef {
  return {
    environment: 'shop',
    run: `shop/pitr/${name}`,
    runId: `${name}-0000-4000-8000-000000000000`,
    sandbox: name,
    host: 'dallas',
  };
}

export type PlanChange = Partial<
  Pick<RecoveryPlan, 'stop' | 'boundary' | 'baseChain' | 'target' | 'minimumSettings'>
> & {
  lastSegment?: string;
  needBytes?: number;
};

/** The plan for the moment between the two commits, or a changed one. */
export async function planOf(world: World, change: PlanChange = {}): Promise<RecoveryPlan> {
  const control = await requireControlData(world.primary.binDir, world.primary.dataDir);
  const { lastSegment, needBytes, ...rest } = change;
  const baseChain = change.baseChain ?? world.full;
  const first = baseChain.at(-1)?.startLsn ?? ('0/0' as Lsn);
  const number = (BigInt(`0x${first.split('/')[1] ?? '0'}`) / 16_777_216n).toString(16).toUpperCase().padStart(8, '0');
  return {
    environment: 'shop',
    target: { kind: 'time', value: world.target },
    timeline: 1,
    stop: { kind: 'lsn', lsn: world.kept.lsn, inclusive: true },
    boundary: { kept: world.kept, dropped: world.dropped },
    lost: { commits: 3, exact: true, seconds: 1, until: null },
    baseChain,
    fetch: {
      baseBytes: 1,
      walBytes: 1,
      walSegments: 1,
      firstSegment: `0000000100000000${number}`,
      lastSegment: lastSegment ?? world.segments.at(-1) ?? '',
    },
    replayBytes: 1,
    space: { path: world.dir, needBytes: needBytes ?? 1, availableBytes: 1 },
    estimate: { restoreSeconds: 1, replaySeconds: 1, totalSeconds: 2 },
    systemIdentifier: control.systemIdentifier,
    postgresMajor: control.postgresMajor,
    walSegmentBytes: 16 * 1024 * 1024,
    minimumSettings: control.settings,
    host: 'dallas',
    warnings: [],
    hash: 'f'.repeat(64),
    ...rest,
  };
}
