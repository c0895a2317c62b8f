/** A pair behind a real HAProxy, a real PgBouncer and the real pg-health of both nodes: what clients of an environment see. */
import { existsSync } from 'node:fs';
import { readdir, readFile, readlink, writeFile } from 'node:fs/promises';
import path from 'node:path';

import type { ActivityDeps } from '../../activities/lib/deps.js';
import { dataControl } from '../../activities/postgres/data-control.js';
import { createSnapshots } from '../../activities/snapshot/create-snapshots.js';
import { configSchema, type Config } from '../../config/schema.js';
import { startHealth, type RunningHealth } from '../../workers/pg-health-start.js';
import { makeFlipScene, waitFor, type FlipFile, type FlipScene } from './flip-scene.js';
import { startHaproxy, type TestHaproxy } from './haproxy.js';
import { startPgbouncer, type TestPgbouncer } from './pgbouncer.js';
import { routedDeps, type Routed } from './routed-deps.js';

export type RoutedScene = {
  scene: FlipScene;
  haproxy: TestHaproxy;
  /** A second way in, where the test asked for one; poolers use the first. */
  other: TestHaproxy | null;
  pgbouncer: TestPgbouncer;
  deps: ActivityDeps;
  configFile: string;
  destroy(): Promise<void>;
};

const alive = new Set<RoutedScene>();

export async function destroyAllRoutedScenes(): Promise<void> {
  for (const routed of alive) await routed.destroy();
}

export async function makeRoutedScene(
  routed: Routed,
  options: { flip?: Record<string, unknown>; routers?: 1 | 2 } = {},
): Promise<RoutedScene> {
  const scene = await makeFlipScene({ flip: options.flip ?? {} });
  const health: RunningHealth[] = [];
  const nodes = await Promise.all(
    ['dallas', 'chicago'].map(async (name) => {
      const { port } = scene.cluster(name);
      const running = await startHealthOf(scene, name, port);
      health.push(running);
      return { name, port, checkPort: running.port };
    }),
  );
  const haproxy = await startHaproxy({ nodes });
  const pgbouncer = await startPgbouncer({ target: { port: haproxy.port } });
  const other = options.routers === 2 ? await startHaproxy({ nodes, instance: 'lb2' }) : null;
  const config = configOf(scene, other === null ? [haproxy] : [haproxy, other], pgbouncer);
  const configFile = path.join(scene.dir, 'routed.json');
  const file: FlipFile = { config, dir: scene.dir, routed };
  await writeFile(configFile, JSON.stringify(file));
  const made: RoutedScene = {
    scene,
    haproxy,
    other,
    pgbouncer,
    configFile,
    deps: { ...routedDeps(scene.deps, config, routed), snapshot: createSnapshots(config, dataControl) },
    async destroy() {
      alive.delete(made);
      await endGuards(path.join(scene.config.stateDir, 'pause-guards', 'lab'));
      await pgbouncer.destroy();
      await haproxy.destroy();
      await other?.destroy();
      await Promise.all(health.map((one) => one.stop()));
      await scene.destroy();
    },
  };
  alive.add(made);
  return made;
}

/** Those of workers that died go on for minutes when their pooler is gone. */
async function endGuards(parent: string): Promise<void> {
  const dirs = (await readdir(parent).catch(() => [])).map((name) => path.join(parent, name));
  for (const dir of dirs) await writeFile(path.join(dir, 'done'), '').catch(() => undefined);
  await waitFor(() => Promise.resolve(dirs.every((dir) => !existsSync(dir) || existsSync(path.join(dir, 'ended')))));
}

function startHealthOf({ config }: FlipScene, node: string, port: number): Promise<RunningHealth> {
  const login = {
    host: '127.0.0.1',
    port,
    user: 'postgres',
    database: 'postgres',
    password: () => Promise.resolve(null),
  };
  const place = { environment: 'lab', node, stateDir: config.stateDir, listen: { host: '127.0.0.1', port: 0 }, login };
  return startHealth(place, () => undefined);
}

function configOf(
  { config: { environments, ...rest } }: FlipScene,
  haproxies: TestHaproxy[],
  pgbouncer: TestPgbouncer,
): Config {
  const haproxy = haproxies[0]!;
  const config = configSchema.parse({ ...rest, environments: {} });
  const url = `postgresql://postgres@127.0.0.1:${String(haproxy.port)}/postgres?target_session_attrs=read-write`;
  const { port, adminUser: user } = pgbouncer;
  const pooler = { name: 'pgb', address: '127.0.0.1', port, user, databases: [] };
  config.environments['lab'] = {
    ...environments['lab']!,
    routing: {
      kind: 'haproxy',
      url,
      backend: haproxy.backend,
      servers: {},
      instances: haproxies.map(({ instance: name, api, stats }) => ({ name, api, stats })),
    },
    poolers: [{ ...pooler, kind: 'pgbouncer', pauseTimeout: 1, onTimeout: 'give-up' }],
  };
  return config;
}

/** Every process of the server of a data directory. */
async function serverPids(dataDir: string): Promise<number[]> {
  const found: number[] = [];
  for (const name of (await readdir('/proc')).filter((entry) => /^\d+$/.test(entry))) {
    const cwd = await readlink(`/proc/${name}/cwd`).catch(() => '');
    const comm = await readFile(`/proc/${name}/comm`, 'utf8').catch(() => '');
    if (cwd === dataDir && comm.trim() === 'postgres') found.push(Number(name));
  }
  return found;
}

/** Freezes, continues or kills a server with all its processes. */
export async function signalServer(dataDir: string, signal: 'SIGSTOP' | 'SIGCONT' | 'SIGKILL'): Promise<void> {
  for (const pid of await serverPids(dataDir)) {
    try {
      process.kill(pid, signal);
    } catch {
      // It ended in between.
    }
  }
}
