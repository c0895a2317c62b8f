/** A primary with a few gigabytes, its standby, and Temporal with a worker: what rebuilds are measured on. */
import { chmod, chown, mkdir, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { stringify } from 'yaml';

import { startServer, stopServer } from '../activities/postgres/server.js';
import { findServerUser, type ServerUser } from '../lab/server-user.js';
import { findTools } from '../lab/tools.js';
import type { Closers } from './closers.js';
import { benchToolsDir } from './flip-lab.js';
import { startPgrServers } from './measure-pgr.js';
import { freePorts, runProgram } from './processes.js';
import type { Place } from './rebuild-places.js';
import { BENCH_ENVIRONMENT, query, secretEnvironment } from './setup.js';

export type Owner = { uid: number; gid: number };
export type PairNode = { name: string; port: number; dataDir: string; snapshot: object };
export type Pair = {
  dir: string;
  binDir: string;
  user: ServerUser | null;
  nodes: PairNode[];
  configPath: string;
  /** Of the worker. */
  stateDir: string;
  pgr(...args: string[]): Promise<unknown>;
  run(program: string, args: readonly string[]): Promise<string>;
  start(node: Pick<PairNode, 'dataDir'>, options?: readonly string[]): Promise<void>;
  stop(node: Pick<PairNode, 'dataDir'>, mode: 'fast' | 'immediate'): Promise<void>;
};

export type PairRequest = {
  parent: string;
  place: Place;
  gigabytes: number;
  distDir: string;
  closers: Closers;
  say: (text: string) => void;
};

/** pgbench makes this much for each unit of its scale. */
const MB_OF_SCALE = 15;
/** The same for every way and every node, and nearly those of the lab. The WAL of a round stays, so that a rewind finds where histories part. */
const SETTINGS = [
  "listen_addresses = '127.0.0.1'",
  "unix_socket_directories = ''",
  'shared_buffers = 256MB',
  'max_wal_size = 1GB',
  'checkpoint_timeout = 1h',
  'wal_level = replica',
  'wal_keep_size = 512MB',
  'hot_standby = on',
];

/** Makes the pair and starts what `pgr` needs. `closers` gets what ends it. */
export async function makePair(request: PairRequest): Promise<Pair> {
  const { place, closers, say, parent, distDir } = request;
  const user = await findServerUser();
  const tools = await findTools({ toolsDir: benchToolsDir(), env: process.env, serverUser: user, progress: say });
  const binDir = tools.postgres.path;
  const [temporalPort = 0, ...ports] = await freePorts(3);
  await mkdir(place.dir, { recursive: true });
  const nodes: PairNode[] = [];
  for (const [at, name] of ['dallas', 'chicago'].entries()) {
    const made = await place.makeDataDir(name);
    nodes.push({ name, port: ports[at] ?? 0, ...made });
    closers.add(() => stopServer({ dataDir: made.dataDir, mode: 'immediate' }));
  }
  for (const dir of [place.dir, ...nodes.flatMap(({ dataDir }) => [path.dirname(dataDir), dataDir])])
    await give(dir, user);
  const configPath = path.join(parent, 'recovery.yaml');
  await writeFile(configPath, stringify(configOf({ parent, nodes, binDir, user, temporalPort })), { mode: 0o644 });
  const program = path.join(distDir, 'cli', 'main.js');
  const env = { ...secretEnvironment(), PGR_USER: 'bench' };
  const pair: Pair = {
    dir: place.dir,
    binDir,
    user,
    nodes,
    configPath,
    stateDir: stateDirOf(parent),
    pgr: async (...args) =>
      JSON.parse(
        await runProgram(process.execPath, [program, ...args, '--config', configPath, '--json'], { env }),
      ) as unknown,
    run: (name, args) => runProgram(path.join(binDir, name), args, { user }),
    start: async ({ dataDir }, options = []) => {
      await startServer({
        binDir,
        dataDir,
        options,
        logFile: path.join(parent, 'server.log'),
        ...(user === null ? {} : { owner: user }),
      });
    },
    stop: async ({ dataDir }, mode) => {
      await stopServer({ dataDir, mode });
    },
  };
  await fill(pair, request);
  const servers = await startPgrServers({
    dir: parent,
    distDir,
    configPath,
    temporalPort,
    temporal: tools.temporal.path,
  });
  closers.add(() => servers.close());
  return pair;
}

async function fill(pair: Pair, { gigabytes, say }: PairRequest): Promise<void> {
  const [primary, standby] = pair.nodes;
  if (primary === undefined || standby === undefined) throw new Error('a pair has two nodes');
  say(`making a pair with ${String(gigabytes)} GB`);
  await pair.run('initdb', ['-D', primary.dataDir, '-U', 'postgres', '-k', '--no-sync', '--auth=trust']);
  await writeFile(
    path.join(primary.dataDir, 'postgresql.conf'),
    `\n${SETTINGS.join('\n')}\nport = ${String(primary.port)}\n`,
    { flag: 'a' },
  );
  await pair.start(primary);
  const scale = Math.max(1, Math.round((gigabytes * 1000) / MB_OF_SCALE));
  await pair.run('pgbench', [...login(primary), '-i', '-q', '-s', String(scale), 'postgres']);
  await query(primary.port, `select pg_create_physical_replication_slot('${standby.name}', true)`);
  const copy = ['-D', standby.dataDir, '-d', conninfo(primary, standby.name), '-S', standby.name];
  await pair.run('pg_basebackup', [...copy, '-R', '-X', 'stream', '-c', 'fast', '--no-sync']);
  await setPort(standby);
  await pair.start(standby);
}

function stateDirOf(parent: string): string {
  return path.join(parent, 'state');
}

/** The port is the only setting in which two nodes differ. */
export async function setPort(node: Pick<PairNode, 'dataDir' | 'port'>): Promise<void> {
  await writeFile(path.join(node.dataDir, 'postgresql.conf'), `port = ${String(node.port)}\n`, { flag: 'a' });
}

export function login({ port }: Pick<PairNode, 'port'>): string[] {
  return ['-h', '127.0.0.1', '-p', String(port), '-U', 'postgres'];
}

export function conninfo({ port }: Pick<PairNode, 'port'>, application: string): string {
  return `host=127.0.0.1 port=${String(port)} user=postgres dbname=postgres application_name=${application}`;
}

/** Removes what a way left, with everything in it. */
export async function removeDirectory(dir: string): Promise<void> {
  await rm(dir, { recursive: true, force: true, maxRetries: 3 });
}

/** Makes a directory of the servers' user. */
export async function give(dir: string, user: ServerUser | null): Promise<void> {
  await chmod(dir, 0o700);
  if (user !== null) await chown(dir, user.uid, user.gid);
}

function configOf(of: {
  parent: string;
  nodes: readonly PairNode[];
  binDir: string;
  user: ServerUser | null;
  temporalPort: number;
}): unknown {
  const { parent, nodes, binDir, user, temporalPort } = of;
  const hosts = nodes.map(({ port }) => `127.0.0.1:${String(port)}`).join(',');
  return {
    version: 1,
    temporal: { address: `127.0.0.1:${String(temporalPort)}`, namespace: 'default' },
    stateDir: stateDirOf(parent),
    record: { kind: 'directory', path: path.join(parent, 'record') },
    environments: {
      [BENCH_ENVIRONMENT]: {
        postgres: {},
        nodes: nodes.map(({ name, port, dataDir, snapshot }) => ({
          name,
          host: name,
          address: '127.0.0.1',
          port,
          dataDir,
          binDir,
          runtime: {
            kind: 'process',
            logFile: path.join(parent, `${name}.log`),
            ...(user === null ? {} : { runAs: user.name }),
          },
          snapshot,
        })),
        routing: { kind: 'multihost', url: `postgresql://postgres@${hosts}/postgres?target_session_attrs=read-write` },
        // A rebuild takes nothing from the store.
        backups: {
          kind: 's3',
          bucket: 'none',
          accessKeyId: 'env:PGR_BENCH_KEY',
          secretAccessKey: 'env:PGR_BENCH_SECRET',
        },
        heartbeat: { enabled: false },
      },
    },
  };
}
