/** Throw-away PostgreSQL servers for tests. Nothing of one is left when its test ends: `destroy()`, or `destroyAllClusters()` in afterAll. */
import { chown, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import pg from 'pg';

import { runProgramOrFail } from '../../activities/lib/exec.js';
import { runAsOwner, type Owner } from '../../activities/postgres/data-directory.js';
import { startServer, stopServer } from '../../activities/postgres/server.js';
import { testTools } from './tools.js';
import { freePort } from './ports.js';

export type ClusterOptions = {
  binDir?: string;
  /** Parent of everything of this cluster; a new temporary directory when left out (then removed by `destroy`). */
  dir?: string;
  /** Lines added to postgresql.conf. */
  conf?: readonly string[];
  /** Settings of ours that this major does not know. */
  omit?: readonly string[];
  /** Superuser with this password over scram when given, else trust. */
  password?: string;
  initdb?: readonly string[];
  port?: number;
  start?: boolean;
};

export type Cluster = {
  name: string;
  dir: string;
  dataDir: string;
  port: number;
  binDir: string;
  url: string;
  owner: Owner;
  logFile: string;
  query<Row extends pg.QueryResultRow = pg.QueryResultRow>(sql: string, values?: unknown[]): Promise<Row[]>;
  start(): Promise<void>;
  stop(mode?: 'fast' | 'immediate'): Promise<void>;
  destroy(): Promise<void>;
};

const alive = new Set<Cluster>();

/** Destroys every cluster of this file that was not destroyed by its test. */
export async function destroyAllClusters(): Promise<void> {
  await Promise.all([...alive].map((cluster) => cluster.destroy()));
}

/** Directory of PostgreSQL programs for tests. */
async function postgresBin(): Promise<string> {
  return process.env['PGR_TEST_POSTGRES_BIN'] ?? (await testTools()).postgresBin;
}

/** The user of test servers: `postgres` when we are root, else ourselves. */
export async function serverOwner(): Promise<Owner> {
  const uid = process.getuid?.() ?? 0;
  if (uid !== 0) return { uid, gid: process.getgid?.() ?? uid };
  const passwd = await readFile('/etc/passwd', 'utf8');
  for (const name of ['postgres', 'nobody']) {
    const fields = passwd
      .split('\n')
      .find((line) => line.startsWith(`${name}:`))
      ?.split(':');
    if (fields?.[2] !== undefined && fields[3] !== undefined) return { uid: Number(fields[2]), gid: Number(fields[3]) };
  }
  throw new Error('there is no user postgres or nobody to run a server as');
}

/** A temporary directory that belongs to the user of the servers. */
export async function serverDirectory(prefix = 'pgr-test-'): Promise<string> {
  const dir = await mkdtemp(path.join(tmpdir(), prefix));
  const owner = await serverOwner();
  if (process.getuid?.() === 0) await chown(dir, owner.uid, owner.gid);
  return dir;
}

/** A new cluster: checksums on, wal_level=replica, WAL summaries on, listening on 127.0.0.1 only. Started unless `start: false`. */
export async function startCluster(options: ClusterOptions = {}): Promise<Cluster> {
  const dir = options.dir ?? (await serverDirectory());
  const binDir = options.binDir ?? (await postgresBin());
  const owner = await serverOwner();
  const dataDir = path.join(dir, 'data');
  await createCluster({ dir, dataDir, binDir, owner, options });
  const port = options.port ?? (await freePort());
  const cluster = describeCluster({
    dir,
    dataDir,
    port,
    binDir,
    owner,
    ...(options.password === undefined ? {} : { password: options.password }),
  });
  await appendConf(cluster, [...defaultConf(port, options.omit), ...(options.conf ?? [])]);
  if (options.start !== false) await startOrDestroy(cluster);
  return cluster;
}

async function createCluster(c: {
  dir: string;
  dataDir: string;
  binDir: string;
  owner: Owner;
  options: ClusterOptions;
}): Promise<void> {
  const { password, initdb = [] } = c.options;
  const passwordFile = path.join(c.dir, 'pw');
  const auth = password === undefined ? ['--auth=trust'] : ['--auth=scram-sha-256', `--pwfile=${passwordFile}`];
  if (password !== undefined) {
    await writeFile(passwordFile, password, { mode: 0o600 });
    if (process.getuid?.() === 0) await chown(passwordFile, c.owner.uid, c.owner.gid);
  }
  const fixed = ['-D', c.dataDir, '-U', 'postgres', '-k', '--no-sync', '-E', 'UTF8', '--locale=C'];
  await runProgramOrFail(path.join(c.binDir, 'initdb'), [...fixed, ...auth, ...initdb], runAsOwner(c.owner));
}

/** A streaming standby of `primary` with a slot of its own (`standby_<port>`). */
export async function startStandby(
  primary: Cluster,
  options: { dir?: string; conf?: readonly string[]; slot?: string; start?: boolean } = {},
): Promise<Cluster> {
  const dir = options.dir ?? (await serverDirectory());
  const port = await freePort();
  const slot = options.slot ?? `standby_${String(port)}`;
  const dataDir = path.join(dir, 'data');
  await primary.query(
    'select pg_create_physical_replication_slot($1) where not exists (select 1 from pg_replication_slots where slot_name = $1)',
    [slot],
  );
  await runProgramOrFail(
    path.join(primary.binDir, 'pg_basebackup'),
    ['-d', primary.url, '-D', dataDir, '-X', 'stream', '-S', slot, '-R', '-c', 'fast', '--no-sync'],
    runAsOwner(primary.owner),
  );
  const standby = describeCluster({ dir, dataDir, port, binDir: primary.binDir, owner: primary.owner });
  await appendConf(standby, [`port = ${String(port)}`, ...(options.conf ?? [])]);
  if (options.start !== false) await startOrDestroy(standby);
  return standby;
}

/** Handle on a data directory that exists already. */
export function describeCluster(facts: {
  dir: string;
  dataDir: string;
  port: number;
  binDir: string;
  owner: Owner;
  password?: string;
}): Cluster {
  const logFile = path.join(facts.dir, 'server.log');
  const login = facts.password === undefined ? 'postgres' : `postgres:${encodeURIComponent(facts.password)}`;
  const url = `postgresql://${login}@127.0.0.1:${String(facts.port)}/postgres`;
  const cluster: Cluster = {
    name: path.basename(facts.dir),
    dir: facts.dir,
    dataDir: facts.dataDir,
    port: facts.port,
    binDir: facts.binDir,
    owner: facts.owner,
    url,
    logFile,
    async query<Row extends pg.QueryResultRow>(sql: string, values?: unknown[]): Promise<Row[]> {
      const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 5_000, query_timeout: 60_000 });
      client.on('error', () => undefined);
      await client.connect();
      try {
        return (await client.query<Row>(sql, values)).rows;
      } finally {
        await client.end();
      }
    },
    async start() {
      await startServer({
        binDir: facts.binDir,
        dataDir: facts.dataDir,
        owner: facts.owner,
        logFile,
        timeoutMs: 60_000,
      });
    },
    async stop(mode = 'fast') {
      await stopServer({ dataDir: facts.dataDir, mode, timeoutMs: 60_000 });
    },
    async destroy() {
      await stopServer({ dataDir: facts.dataDir, mode: 'immediate', timeoutMs: 30_000 });
      await rm(facts.dir, { recursive: true, force: true, maxRetries: 3 });
      alive.delete(cluster);
    },
  };
  alive.add(cluster);
  return cluster;
}

/** Appends lines to postgresql.conf. */
export async function appendConf(cluster: Cluster, lines: readonly string[]): Promise<void> {
  await writeFile(path.join(cluster.dataDir, 'postgresql.conf'), `\n${lines.join('\n')}\n`, { flag: 'a' });
}

async function startOrDestroy(cluster: Cluster): Promise<void> {
  try {
    await cluster.start();
  } catch (error) {
    await cluster.destroy();
    throw error;
  }
}

function defaultConf(port: number, omit: readonly string[] = []): string[] {
  const lines = [
    `port = ${String(port)}`,
    "listen_addresses = '127.0.0.1'",
    "unix_socket_directories = ''",
    'wal_level = replica',
    'summarize_wal = on',
    'max_wal_senders = 8',
    'max_replication_slots = 8',
    'shared_buffers = 32MB',
    'fsync = off',
    "log_line_prefix = '%m [%p] '",
    'hot_standby = on',
  ];
  return lines.filter((line) => !omit.includes(line.split(' ')[0]!));
}
