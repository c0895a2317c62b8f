/** Two real servers that stream and archive, a router and a pooler in files: the scene in which a flip begins. */
import { chown, mkdir, readdir, readlink, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { createJobRunner } from '../../activities/jobs/job-runner.js';
import type { ActivityDeps } from '../../activities/lib/deps.js';
import { requireControlData } from '../../activities/postgres/control-data.js';
import { createPlanFlip } from '../../activities/postgres/flip/plan-flip.js';
import { listServerProcesses, readPostmaster } from '../../activities/postgres/postmaster.js';
import { serverControl } from '../../activities/postgres/server.js';
import { createRuntimes } from '../../activities/runtime/create-runtimes.js';
import { configSchema, type Config } from '../../config/schema.js';
import type { FlipInput, PlanFlipInput } from '../../shared/contracts/flip.js';
import type { Topology, TopologyNode } from '../../shared/contracts/topology.js';
import { appendConf, serverDirectory, serverOwner, startCluster, startStandby, type Cluster } from './cluster.js';
import { createDirectoryStore, type DirectoryStore } from './directory-store.js';
import { fileGuard, filePooler, fileRouting, makeRouteFiles } from './flip-files.js';
import type { Routed } from './routed-deps.js';

export type FlipScene = {
  dir: string;
  dallas: Cluster;
  chicago: Cluster;
  cluster(node: string): Cluster;
  config: Config;
  configFile: string;
  deps: ActivityDeps;
  store: DirectoryStore;
  systemIdentifier: string;
  topology(change?: (node: TopologyNode) => TopologyNode): Promise<Topology>;
  planInput(change?: Partial<PlanFlipInput>): Promise<PlanFlipInput>;
  /** A plan, wrapped for flipWrites. */
  flipInput(runId: string, change?: Partial<PlanFlipInput>, deps?: ActivityDeps): Promise<FlipInput>;
  destroy(): Promise<void>;
};

/** What the child process of fault tests reads. */
export type FlipFile = { config: Config; dir: string; routed?: Routed };

const scenes = new Set<FlipScene>();

export async function destroyAllFlipScenes(): Promise<void> {
  await Promise.all([...scenes].map((scene) => scene.destroy()));
}

/** Also used by the child process of fault tests. */
export async function flipDeps(
  config: Config,
  dir: string,
): Promise<ActivityDeps & { directoryStore: DirectoryStore }> {
  const log = { info: () => undefined, warn: () => undefined };
  const directoryStore = await createDirectoryStore(path.join(dir, 'store'));
  return {
    config,
    resolveSecret: () => Promise.reject(new Error('no secrets here')),
    jobs: createJobRunner({ stateDir: config.stateDir, log }),
    store: () => Promise.resolve(directoryStore),
    runtime: createRuntimes(config, serverControl),
    routing: () => fileRouting(dir),
    poolers: () => [filePooler(dir)],
    containers: () => {
      throw new Error('no containers here');
    },
    pauseGuard: () => Promise.resolve(fileGuard(dir)),
    snapshot: () => {
      throw new Error('not used by flips');
    },
    program: { node: process.execPath, distDir: '/nowhere', configPath: '/nowhere' },
    log,
    directoryStore,
  };
}

async function ownedDirectory(parent: string, name: string): Promise<string> {
  const target = path.join(parent, name);
  await mkdir(target, { mode: 0o755, recursive: true });
  const owner = await serverOwner();
  if (process.getuid?.() === 0) await chown(target, owner.uid, owner.gid);
  return target;
}

/** @param conf lines for the primary's postgresql.conf, which the standby copies */
export async function makeFlipScene(
  options: { conf?: string[]; flip?: Record<string, unknown> } = {},
): Promise<FlipScene> {
  const dir = await serverDirectory('pgr-flip-');
  const made: Cluster[] = [];
  try {
    await ownedDirectory(dir, 'store');
    const wal = await ownedDirectory(dir, 'store/wal');
    const dallas = await startCluster({ dir: await ownedDirectory(dir, 'dallas'), start: false });
    made.push(dallas);
    const command = `if test -f "${wal}/%f"; then cmp -s "%p" "${wal}/%f"; else cp "%p" "${wal}/%f.tmp" && mv "${wal}/%f.tmp" "${wal}/%f"; fi`;
    await appendConf(dallas, [
      'archive_mode = on',
      `archive_command = '${command}'`,
      'wal_keep_size = 64MB',
      ...(options.conf ?? []),
    ]);
    await dallas.start();
    await dallas.query('create schema pgr');
    await dallas.query('create table pgr.heartbeat (at timestamptz primary key, source text not null)');
    await dallas.query('create table orders (id bigint primary key)');
    const chicago = await startStandby(dallas, { dir: await ownedDirectory(dir, 'chicago') });
    made.push(chicago);
    // On a busy machine a plan could come before both say so, and would refuse.
    const streams = "select 1 from pg_stat_replication where state = 'streaming'";
    const receives = "select 1 from pg_stat_wal_receiver where status = 'streaming'";
    await waitFor(
      async () => (await dallas.query(streams)).length === 1 && (await chicago.query(receives)).length === 1,
    );
    return await finish(dir, dallas, chicago, options.flip ?? {});
  } catch (error) {
    for (const cluster of made) await cluster.destroy();
    await rm(dir, { recursive: true, force: true });
    throw error;
  }
}

function configFor(dir: string, nodes: { name: string; cluster: Cluster }[], flip: Record<string, unknown>): Config {
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
        })),
        routing: { kind: 'multihost', url: `postgresql://postgres@${hosts}/postgres?target_session_attrs=read-write` },
        flip,
        backups: { kind: 's3', bucket: 'none', accessKeyId: 'env:NONE_ID', secretAccessKey: 'env:NONE_SECRET' },
      },
    },
  });
}

async function finish(
  dir: string,
  dallas: Cluster,
  chicago: Cluster,
  flip: Record<string, unknown>,
): Promise<FlipScene> {
  const config = configFor(
    dir,
    [
      { name: 'dallas', cluster: dallas },
      { name: 'chicago', cluster: chicago },
    ],
    flip,
  );
  await mkdir(config.stateDir, { recursive: true });
  const configFile = path.join(dir, 'config.json');
  await writeFile(configFile, JSON.stringify({ config, dir }));
  makeRouteFiles(dir, 'dallas');
  const { directoryStore: store, ...deps } = await flipDeps(config, dir);
  const { systemIdentifier } = await requireControlData(dallas.binDir, dallas.dataDir);
  const scene: FlipScene = {
    dir,
    dallas,
    chicago,
    cluster: (node) => (node === 'dallas' ? dallas : chicago),
    config,
    configFile,
    deps,
    store,
    systemIdentifier,
    async topology(change = (node) => node) {
      const nodes = await Promise.all((['dallas', 'chicago'] as const).map((name) => lookAt(scene, name)));
      return { ...EMPTY, nodes: nodes.map(change) };
    },
    planInput: async (change = {}) => ({
      environment: 'lab',
      to: null,
      failover: false,
      mode: 'stop',
      topology: await scene.topology(),
      hostChecks: [],
      ...change,
    }),
    async flipInput(runId, change = {}, other = deps) {
      const plan = await createPlanFlip(other)(await scene.planInput(change));
      return {
        environment: 'lab',
        run: 'lab/change',
        runId,
        plan,
        fenceProof: plan.failover ? ['a person said so'] : [],
      };
    },
    async destroy() {
      scenes.delete(scene);
      await stopEverythingIn(dir);
      await chicago.destroy();
      await dallas.destroy();
      await rm(dir, { recursive: true, force: true, maxRetries: 3 });
    },
  };
  scenes.add(scene);
  return scene;
}

const EMPTY: Topology = {
  environment: 'lab',
  writeVip: { address: 'test', owner: null, probe: { ok: true, ms: 1, why: null } },
  nodes: [],
  slots: [],
  routers: [],
  poolers: [],
  archiver: null,
  contradictions: [],
  advice: [],
};

async function lookAt(scene: FlipScene, name: string): Promise<TopologyNode> {
  const cluster = scene.cluster(name);
  const rows = await cluster
    .query<{ standby: boolean; system: string; timeline: number }>(
      `select pg_is_in_recovery() standby, (select system_identifier::text from pg_control_system()) system,
              case when pg_is_in_recovery() then (select timeline_id from pg_control_checkpoint())
                   else ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::int end as timeline`,
    )
    .catch(() => []);
  const row = rows[0];
  return {
    name,
    host: name,
    address: '127.0.0.1',
    port: cluster.port,
    role: row === undefined ? 'down' : row.standby ? 'standby' : 'primary',
    why: row === undefined ? 'does not answer' : null,
    timeline: row?.timeline ?? null,
    lsn: null,
    receiveLsn: null,
    replayLsn: null,
    lagBytes: row?.standby === true ? 0 : null,
    lagSeconds: null,
    systemIdentifier: row?.system ?? null,
    version: '18',
    receiver: null,
    sync: null,
    slot: null,
    acceptsWrites: row?.standby === false,
    replayPaused: false,
    pendingRestart: [],
    health: null,
  };
}

/** Every server whose data directory lies below `dir`. */
async function stopEverythingIn(dir: string): Promise<void> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const dirs = new Set<string>();
  for (const pid of pids) {
    const cwd = await readlink(`/proc/${pid}/cwd`).catch(() => '');
    if (cwd.startsWith(`${dir}/`) && (await listServerProcesses(cwd)).length > 0) dirs.add(cwd);
  }
  for (const dataDir of dirs) {
    const state = await readPostmaster(dataDir);
    if (state.state === 'running') {
      process.kill(state.pid, 'SIGCONT');
      process.kill(state.pid, 'SIGQUIT');
    }
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
