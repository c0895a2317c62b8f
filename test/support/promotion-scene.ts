/**
 * A production of two real servers with an archive, a mistake in it, and a sandbox that was made by hand and is paused before the mistake:
 * the scene in which a promotion begins.
 */
import { chmod, chown, cp, mkdir, readdir, readFile, readlink, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { createJobRunner } from '../../activities/jobs/job-runner.js';
import type { ActivityDeps } from '../../activities/lib/deps.js';
import { readBootId } from '../../activities/lib/boot-id.js';
import { runProgramOrFail } from '../../activities/lib/exec.js';
import { runAsOwner } from '../../activities/postgres/data-directory.js';
import { dataControl } from '../../activities/postgres/data-control.js';
import { requireControlData } from '../../activities/postgres/control-data.js';
import { listServerProcesses, readPostmaster } from '../../activities/postgres/postmaster.js';
import { writeMarker } from '../../activities/postgres/sandbox/marker.js';
import { placeOf } from '../../activities/postgres/sandbox/place.js';
import { makeSocketDir, removeSocketDir, socketDirFor } from '../../activities/postgres/sandbox/socket-dir.js';
import { serverControl, startServer } from '../../activities/postgres/server.js';
import { createRuntimes } from '../../activities/runtime/create-runtimes.js';
import { createSnapshots } from '../../activities/snapshot/create-snapshots.js';
import { configSchema, type Config, type NodeConfig } from '../../config/schema.js';
import type { RecoveryPlan } from '../../shared/contracts/plan.js';
import type { NodeStepInput } from '../../shared/contracts/promotion.js';
import type { SandboxRef } from '../../shared/contracts/sandbox.js';
import { parseLsn } from '../../shared/lsn.js';
import {
  appendConf,
  describeCluster,
  serverDirectory,
  serverOwner,
  startCluster,
  startStandby,
  type Cluster,
} from './cluster.js';
import { createDirectoryStore, type DirectoryStore } from './directory-store.js';
import { freePort } from './ports.js';

export type Scene = {
  dir: string;
  dallas: Cluster;
  chicago: Cluster | null;
  config: Config;
  configFile: string;
  deps: ActivityDeps;
  store: DirectoryStore;
  systemIdentifier: string;
  step(node: string, runId: string): NodeStepInput;
  makeSandbox(name: string): Promise<{ ref: SandboxRef; plan: RecoveryPlan; stopSandbox(): Promise<void> }>;
  destroy(): Promise<void>;
};

const scenes = new Set<Scene>();

export async function destroyAllScenes(): Promise<void> {
  await Promise.all([...scenes].map((scene) => scene.destroy()));
}

function unused(): never {
  throw new Error('not used by promotions');
}

/** What a worker's dependencies are, with the directory store instead of S3. Also used by the child process of fault tests. */
export async function sceneDeps(
  config: Config,
  storeDir: string,
): Promise<ActivityDeps & { directoryStore: DirectoryStore }> {
  const log = { info: () => undefined, warn: () => undefined };
  const directoryStore = await createDirectoryStore(storeDir);
  return {
    config,
    resolveSecret: () => Promise.reject(new Error('no secrets here')),
    jobs: createJobRunner({ stateDir: config.stateDir, log }),
    store: () => Promise.resolve(directoryStore),
    runtime: createRuntimes(config, serverControl),
    routing: () => unused(),
    poolers: () => [],
    containers: () => {
      throw new Error('no containers here');
    },
    pauseGuard: () =>
      Promise.resolve({ extend: () => Promise.resolve(), done: () => Promise.resolve({ resumed: false }) }),
    snapshot: createSnapshots(config, dataControl),
    program: { node: process.execPath, distDir: '/nowhere', configPath: '/nowhere' },
    log,
    directoryStore,
  };
}

/** Two nodes (`standby: false` for one), a table `orders` of 1,000 rows, a base to make sandboxes of. */
export type PromotionSceneOptions = {
  standby?: boolean;
  archive?: boolean;
  /** Makes the (empty) data directory of a node and says how it is copied and moved. */
  prepare?: (name: string, dataDir: string) => Promise<NodeConfig['snapshot']>;
  cleanUp?: () => Promise<void>;
};

export async function makeScene(options: PromotionSceneOptions = {}): Promise<Scene> {
  const dir = await serverDirectory('pgr-promo-');
  const storeDir = path.join(dir, 'store');
  const made: { dallas?: Cluster; chicago?: Cluster | null } = {};
  try {
    const snapshots: Record<string, NodeConfig['snapshot']> = {};
    const prepared = async (name: string): Promise<string> => {
      const own = await ownedDirectory(dir, name);
      if (options.prepare === undefined) return own;
      const dataDir = path.join(own, 'data');
      snapshots[name] = await options.prepare(name, dataDir);
      const owner = await serverOwner();
      await chmod(dataDir, 0o700);
      await chown(dataDir, owner.uid, owner.gid);
      return own;
    };
    const dallasDir = await prepared('dallas');
    await mkdir(path.join(storeDir, 'wal'), { recursive: true });
    const dallas = await startCluster({ dir: dallasDir, start: false });
    made.dallas = dallas;
    for (const target of [storeDir, path.join(storeDir, 'wal')])
      await chown(target, dallas.owner.uid, dallas.owner.gid);
    const wal = path.join(storeDir, 'wal');
    // As a careful archive_command does: the same file again is fine, another one of that name is not.
    const command = `if test -f "${wal}/%f"; then cmp -s "%p" "${wal}/%f"; else cp "%p" "${wal}/%f.tmp" && mv "${wal}/%f.tmp" "${wal}/%f"; fi`;
    const archive = options.archive === false ? [] : ['archive_mode = on', `archive_command = '${command}'`];
    await appendConf(dallas, [...archive, 'wal_keep_size = 64MB', '# kept comment']);
    await dallas.start();
    await dallas.query('create schema pgr');
    await dallas.query('create table pgr.heartbeat (at timestamptz primary key, source text not null)');
    await dallas.query("create table orders as select g as id, 'order ' || g as note from generate_series(1, 1000) g");
    const chicago = options.standby === false ? null : await startStandby(dallas, { dir: await prepared('chicago') });
    made.chicago = chicago;
    const baseDir = path.join(dir, 'base');
    await runProgramOrFail(
      path.join(dallas.binDir, 'pg_basebackup'),
      ['-d', dallas.url, '-D', baseDir, '-X', 'none', '-c', 'fast', '--no-sync'],
      runAsOwner(dallas.owner),
    );
    return await finishScene({ dir, dallas, chicago, baseDir, storeDir, snapshots, cleanUp: options.cleanUp });
  } catch (error) {
    await made.chicago?.destroy();
    await made.dallas?.destroy();
    await options.cleanUp?.();
    await rm(dir, { recursive: true, force: true });
    throw error;
  }
}

async function ownedDirectory(parent: string, name: string): Promise<string> {
  const target = path.join(parent, name);
  await mkdir(target, { mode: 0o755 });
  const owner = await serverOwner();
  if (process.getuid?.() === 0) await chown(target, owner.uid, owner.gid);
  return target;
}

function configFor({ dir, dallas, chicago, snapshots }: Made): Config {
  const nodes = [
    { name: 'dallas', cluster: dallas },
    ...(chicago === null ? [] : [{ name: 'chicago', cluster: chicago }]),
  ];
  const hosts = nodes.map(({ cluster }) => `127.0.0.1:${String(cluster.port)}`).join(',');
  return configSchema.parse({
    version: 1,
    stateDir: path.join(dir, 'state'),
    record: { kind: 'directory', path: path.join(dir, 'records') },
    environments: {
      lab: {
        postgres: {},
        nodes: nodes.map(({ name, cluster }) => ({
          name,
          host: name,
          address: '127.0.0.1',
          port: cluster.port,
          dataDir: cluster.dataDir,
          binDir: cluster.binDir,
          runtime: { kind: 'process', logFile: cluster.logFile },
          snapshot: snapshots[name] ?? { kind: 'directory' },
        })),
        routing: { kind: 'multihost', url: `postgresql://postgres@${hosts}/postgres?target_session_attrs=read-write` },
        backups: { kind: 's3', bucket: 'none', accessKeyId: 'env:NONE_ID', secretAccessKey: 'env:NONE_SECRET' },
      },
    },
  });
}

type Made = {
  dir: string;
  dallas: Cluster;
  chicago: Cluster | null;
  baseDir: string;
  storeDir: string;
  snapshots: Record<string, NodeConfig['snapshot']>;
  cleanUp: (() => Promise<void>) | undefined;
};

async function finishScene(made: Made): Promise<Scene> {
  const { dir, dallas, chicago, baseDir, storeDir, cleanUp } = made;
  const config = configFor(made);
  const configFile = path.join(dir, 'config.json');
  await writeFile(configFile, JSON.stringify({ config, storeDir }));
  const { directoryStore: store, ...deps } = await sceneDeps(config, storeDir);
  const { systemIdentifier } = await requireControlData(dallas.binDir, dallas.dataDir);
  const socketDirs: string[] = [];
  const scene: Scene = {
    dir,
    dallas,
    chicago,
    config,
    configFile,
    deps,
    store,
    systemIdentifier,
    step: (node, runId) => {
      const dataDir = (node === 'dallas' ? dallas : chicago)?.dataDir ?? '';
      socketDirs.push(socketDirFor(dataDir, runId));
      return { environment: 'lab', node, run: 'lab/change', runId, expect: { systemIdentifier, dataDir, host: node } };
    },
    makeSandbox: (name) => makeSandbox(scene, baseDir, name, socketDirs),
    async destroy() {
      scenes.delete(scene);
      await stopEverythingIn(dir);
      await cleanUp?.();
      await chicago?.destroy();
      await dallas.destroy();
      for (const socketDir of socketDirs) await removeSocketDir(socketDir);
      await rm(dir, { recursive: true, force: true, maxRetries: 3 });
    },
  };
  scenes.add(scene);
  return scene;
}

/** Commits 10 orders to keep, then deletes all of them, archives, and brings a copy to the moment before the mistake. */
async function makeSandbox(scene: Scene, baseDir: string, name: string, socketDirs: string[]) {
  const { dallas } = scene;
  await dallas.query(`insert into orders select g, 'kept by ${name}' from generate_series(1001, 1010) g`);
  const [stopAt] = await dallas.query<{ lsn: string; wall: string }>(
    'select pg_current_wal_insert_lsn()::text lsn, now()::text wall',
  );
  await dallas.query('delete from orders');
  await dallas.query('drop table if exists after_the_mistake');
  await dallas.query('create table after_the_mistake (id int)');
  const [end] = await dallas.query<{ segment: string }>('select pg_walfile_name(pg_switch_wal()) segment');
  await dallas.query('checkpoint');
  await waitForFile(path.join(scene.store.walDir, end!.segment));
  const ref: SandboxRef = {
    environment: 'lab',
    run: `lab/pitr/${name}`,
    runId: `${name}-0000-0000`,
    sandbox: name,
    host: 'dallas',
  };
  const lsn = parseLsn(stopAt!.lsn)!;
  const plan = {
    environment: 'lab',
    target: { kind: 'lsn', value: lsn },
    timeline: 1,
    stop: { kind: 'lsn', lsn, inclusive: false },
    boundary: { kept: null, dropped: null },
    lost: { commits: 2, exact: true, seconds: 0, until: null },
    systemIdentifier: scene.systemIdentifier,
    walSegmentBytes: 16_777_216,
    postgresMajor: 18,
    host: 'dallas',
    warnings: [],
    hash: `plan-of-${name}`,
  } as unknown as RecoveryPlan;
  const place = placeOf(scene.config, ref);
  await mkdir(place.walDir, { recursive: true });
  await runProgramOrFail('cp', ['-a', baseDir, place.dataDir]);
  await cp(scene.store.walDir, place.walDir, { recursive: true });
  await runProgramOrFail('chown', ['-R', `${String(dallas.owner.uid)}:${String(dallas.owner.gid)}`, place.root]);
  const port = await freePort();
  const socketDir = socketDirFor(place.dir, ref.runId);
  socketDirs.push(socketDir);
  await makeSocketDir(socketDir, dallas.owner);
  await writeFile(path.join(place.dataDir, 'recovery.signal'), '');
  await chown(path.join(place.dataDir, 'recovery.signal'), dallas.owner.uid, dallas.owner.gid);
  const settings = {
    port: String(port),
    listen_addresses: '127.0.0.1',
    unix_socket_directories: socketDir,
    archive_mode: 'off',
    archive_command: '',
    primary_conninfo: '',
    fsync: 'off',
    wal_recycle: 'off',
    cluster_name: `pgr-sandbox-${name}`,
    default_transaction_read_only: 'on',
    restore_command: `cp "${place.walDir}/%f" "%p"`,
    recovery_target_lsn: lsn,
    recovery_target_inclusive: 'off',
    recovery_target_timeline: '1',
    recovery_target_action: 'pause',
  };
  await startServer({
    binDir: dallas.binDir,
    dataDir: place.dataDir,
    owner: dallas.owner,
    logFile: place.serverLog,
    options: Object.entries(settings).flatMap(([key, value]) => ['-c', `${key}=${value}`]),
  });
  const sandbox = describeCluster({
    dir: place.dir,
    dataDir: place.dataDir,
    port,
    binDir: dallas.binDir,
    owner: dallas.owner,
  });
  await waitFor(
    async () => (await sandbox.query<{ s: string }>('select pg_get_wal_replay_pause_state() s'))[0]?.s === 'paused',
  );
  await writeMarker(place, {
    api: 1,
    environment: 'lab',
    run: ref.run,
    runId: ref.runId,
    sandbox: name,
    systemIdentifier: scene.systemIdentifier,
    createdAt: new Date().toISOString(),
    state: 'paused',
    port,
    socketDir,
    planHash: plan.hash,
    boot: await readBootId(),
    started: true,
    combined: null,
  });
  return { ref, plan, stopSandbox: () => sandbox.stop() };
}

/** Every server whose data directory lies below `dir`, wherever it was renamed to. */
async function stopEverythingIn(dir: string): Promise<void> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const dirs = new Set<string>();
  for (const pid of pids) {
    const cwd = await readlink(`/proc/${pid}/cwd`).catch(() => '');
    if (cwd.startsWith(`${dir}/`) && (await listServerProcesses(cwd)).length > 0) dirs.add(cwd);
  }
  for (const dataDir of dirs) {
    const state = await readPostmaster(dataDir);
    if (state.state === 'running') process.kill(state.pid, 'SIGQUIT');
    await waitFor(async () => (await readPostmaster(dataDir)).state === 'stopped');
  }
}

export async function waitFor(look: () => Promise<boolean>, timeoutMs = 30_000): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  while (!(await look())) {
    if (Date.now() > deadline) throw new Error('waited too long');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

async function waitForFile(file: string): Promise<void> {
  await waitFor(() =>
    readFile(file).then(
      () => true,
      () => false,
    ),
  );
}
