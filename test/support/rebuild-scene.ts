/**
 * A pair of real servers with a password, `dallas` and `chicago`, and the dependencies of a worker: the scene in which a standby is rebuilt. The data directory
 * of one node may lie on a file system that the test made.
 */
import { chmod, chown, mkdir, rm, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { createJobRunner } from '../../activities/jobs/job-runner.js';
import type { ActivityDeps } from '../../activities/lib/deps.js';
import { requireControlData } from '../../activities/postgres/control-data.js';
import { dataControl } from '../../activities/postgres/data-control.js';
import { createRebuildActivities } from '../../activities/postgres/rebuild/index.js';
import { serverControl } from '../../activities/postgres/server.js';
import { createRuntimes } from '../../activities/runtime/create-runtimes.js';
import { createSnapshots } from '../../activities/snapshot/create-snapshots.js';
import { configSchema, type Config, type NodeConfig } from '../../config/schema.js';
import type { PlanRebuildInput, RebuildPlan, RebuildStepInput } from '../../shared/contracts/rebuild.js';
import { serverDirectory, serverOwner, startCluster, startStandby, type Cluster } from './cluster.js';
import { waitFor } from './promotion-scene.js';

const PASSWORD = "open 'sesame'";

type RebuildActivities = ReturnType<typeof createRebuildActivities>;

export type RebuildScene = {
  dir: string;
  dallas: Cluster;
  chicago: Cluster;
  config: Config;
  configFile: string;
  deps: ActivityDeps;
  activities: RebuildActivities;
  systemIdentifier: string;
  plan(node: string, runId: string, more?: Partial<PlanRebuildInput>): Promise<RebuildPlan>;
  step(plan: RebuildPlan, runId: string): RebuildStepInput;
  /** chicago becomes primary while dallas still takes writes; then dallas is stopped. Its data have another history now. */
  splitAndStop(mode: 'fast' | 'immediate'): Promise<void>;
  destroy(): Promise<void>;
};

export type SceneOptions = {
  /** Node whose data directory is prepared by the test. */
  special?: 'dallas' | 'chicago';
  /** Makes the (empty) data directory and says how it is copied. */
  prepare?: (dataDir: string) => Promise<NodeConfig['snapshot']>;
  cleanUp?: () => Promise<void>;
  rows?: number;
};

const scenes = new Set<RebuildScene>();

export async function destroyRebuildScenes(): Promise<void> {
  for (const scene of scenes) await scene.destroy();
}

/** What a worker's dependencies are. Also used by the child process of fault tests. */
export function rebuildDeps(config: Config): ActivityDeps {
  const log = { info: () => undefined, warn: () => undefined };
  const unused = (): never => {
    throw new Error('not used by rebuilds');
  };
  return {
    config,
    resolveSecret: () => Promise.resolve(PASSWORD),
    jobs: createJobRunner({ stateDir: config.stateDir, log }),
    store: unused,
    runtime: createRuntimes(config, serverControl),
    routing: () => ({ kind: 'multihost', label: 'multihost', limits: [], open: unused }),
    poolers: () => [],
    pauseGuard: unused,
    containers: unused,
    snapshot: createSnapshots(config, dataControl),
    program: { node: process.execPath, distDir: '/nowhere', configPath: '/nowhere' },
    log,
  };
}

export async function makeRebuildScene(options: SceneOptions = {}): Promise<RebuildScene> {
  const dir = await serverDirectory('pgr-rebuild-');
  const made: Cluster[] = [];
  const snapshots: Record<string, NodeConfig['snapshot']> = {};
  const directoryOf = async (name: string): Promise<string> => {
    const own = path.join(dir, name);
    const owner = await serverOwner();
    await mkdir(own);
    await chown(own, owner.uid, owner.gid);
    if (options.special !== name || options.prepare === undefined) return own;
    const dataDir = path.join(own, 'data');
    snapshots[name] = await options.prepare(dataDir);
    await chmod(dataDir, 0o700);
    await chown(dataDir, owner.uid, owner.gid);
    return own;
  };
  try {
    const dallas = await startCluster({ dir: await directoryOf('dallas'), password: PASSWORD, conf: ['# of dallas'] });
    made.push(dallas);
    await dallas.query(
      `create table orders as select g as id, repeat(md5(g::text), 8) as note from generate_series(1, ${String(options.rows ?? 1000)}) g`,
    );
    const chicagoDir = await directoryOf('chicago');
    const plain = await startStandby(dallas, { dir: chicagoDir, slot: 'chicago', conf: ['# of chicago'] });
    // startStandby knows no password: every later query needs it.
    const chicago: Cluster = { ...plain, query: (sql, values) => queryAt(dallas, plain.port, sql, values) };
    made.push(chicago);
    return await finish(dir, dallas, chicago, snapshots, options);
  } catch (error) {
    for (const cluster of made) await cluster.stop('immediate').catch(() => undefined);
    await options.cleanUp?.();
    await rm(dir, { recursive: true, force: true });
    throw error;
  }
}

function queryAt(dallas: Cluster, port: number, sql: string, values?: unknown[]): Promise<never[]> {
  return queryUrl(dallas.url.replace(`:${String(dallas.port)}/`, `:${String(port)}/`), sql, values) as Promise<never[]>;
}

async function queryUrl(url: string, sql: string, values?: unknown[]): Promise<unknown[]> {
  const { default: pg } = await import('pg');
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 5_000, query_timeout: 60_000 });
  client.on('error', () => undefined);
  await client.connect();
  try {
    return (await client.query<Record<string, unknown>>(sql, values)).rows;
  } finally {
    await client.end();
  }
}

async function finish(
  dir: string,
  dallas: Cluster,
  chicago: Cluster,
  snapshots: Record<string, NodeConfig['snapshot']>,
  options: SceneOptions,
): Promise<RebuildScene> {
  const config = configOf(dir, { dallas, chicago }, snapshots);
  const configFile = path.join(dir, 'config.json');
  await writeFile(configFile, JSON.stringify({ config }));
  const deps = rebuildDeps(config);
  const activities = createRebuildActivities(deps);
  const { systemIdentifier } = await requireControlData(dallas.binDir, dallas.dataDir);
  const scene: RebuildScene = {
    dir,
    dallas,
    chicago,
    config,
    configFile,
    deps,
    activities,
    systemIdentifier,
    plan: (node, runId, more = {}) =>
      activities.planRebuild({
        environment: 'lab',
        node,
        run: 'lab/change',
        runId,
        method: 'auto',
        rateLimitKbPerSecond: null,
        ...more,
      }),
    step: (plan, runId) => ({ environment: 'lab', run: 'lab/change', runId, plan }),
    async splitAndStop(mode) {
      await chicago.query('select pg_promote(true)');
      await waitFor(async () => (await chicago.query('select pg_is_in_recovery() r'))[0]?.['r'] === false);
      await chicago.query("insert into orders select g, 'only chicago' from generate_series(10001, 10100) g");
      await dallas.query("insert into orders select g, 'only dallas' from generate_series(20001, 20200) g");
      await chicago.query('checkpoint');
      await dallas.stop(mode);
    },
    async destroy() {
      scenes.delete(scene);
      await Promise.all([dallas, chicago].map((cluster) => cluster.stop('immediate').catch(() => undefined)));
      await options.cleanUp?.();
      for (const cluster of [dallas, chicago]) await cluster.destroy().catch(() => undefined);
      await rm(dir, { recursive: true, force: true, maxRetries: 3 });
    },
  };
  scenes.add(scene);
  return scene;
}

function configOf(
  dir: string,
  nodes: Record<string, Cluster>,
  snapshots: Record<string, NodeConfig['snapshot']>,
): Config {
  const hosts = Object.values(nodes).map((cluster) => `127.0.0.1:${String(cluster.port)}`);
  return configSchema.parse({
    version: 1,
    stateDir: path.join(dir, 'state'),
    record: { kind: 'directory', path: path.join(dir, 'records') },
    environments: {
      lab: {
        postgres: { user: 'postgres', database: 'postgres', password: 'env:PASSWORD' },
        nodes: Object.entries(nodes).map(([name, cluster]) => ({
          name,
          host: name,
          address: '127.0.0.1',
          port: cluster.port,
          dataDir: cluster.dataDir,
          binDir: cluster.binDir,
          runtime: { kind: 'process', logFile: cluster.logFile },
          snapshot: snapshots[name] ?? { kind: 'directory' },
        })),
        routing: {
          kind: 'multihost',
          url: `postgresql://postgres@${hosts.join(',')}/postgres?target_session_attrs=read-write`,
        },
        backups: { kind: 's3', bucket: 'none', accessKeyId: 'env:NONE_ID', secretAccessKey: 'env:NONE_SECRET' },
      },
    },
  });
}

/** True when `file` can be read by its owner only. */
export async function isPrivate(file: string): Promise<boolean> {
  return ((await stat(file)).mode & 0o077) === 0;
}
