/** A real PgBouncer (Debian package `pgbouncer`) on loopback and a free port. It refuses to run as root, so it runs as the user of the test servers. */
import { chown, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import pg from 'pg';

import { serverOwner } from './cluster.js';
import { listens } from './haproxy.js';
import { findProgram, startPeer, type PeerProcess } from './peer-process.js';
import { freePort } from './ports.js';

export type PgbouncerOptions = {
  /** Where all databases live: the write VIP, or a server. */
  target: { port: number; host?: string };
  /** Names of the databases; any name (`*`) when left out. */
  databases?: string[];
  /** transaction when left out. */
  poolMode?: 'session' | 'transaction' | 'statement';
  /** Password of the admin user and of `postgres`; nobody is asked for one when left out. */
  password?: string;
  /** More lines of the [pgbouncer] section. */
  settings?: string[];
  port?: number;
};

export type TestPgbouncer = {
  port: number;
  /** In `admin_users`. */
  adminUser: string;
  url(database?: string): string;
  /** One command of the admin console. */
  admin<Row extends pg.QueryResultRow = pg.QueryResultRow>(command: string): Promise<Row[]>;
  pid(): number;
  start(): Promise<void>;
  stop(signal?: NodeJS.Signals): Promise<void>;
  destroy(): Promise<void>;
};

const ADMIN = 'pgbouncer';
const alive = new Set<TestPgbouncer>();

/** Destroys every one of this file that was not destroyed by its test. */
export async function destroyAllPgbouncers(): Promise<void> {
  await Promise.all([...alive].map((pgbouncer) => pgbouncer.destroy()));
}

/** Starts one; clients log in as `postgres`. */
export async function startPgbouncer(options: PgbouncerOptions): Promise<TestPgbouncer> {
  const program = findProgram('pgbouncer');
  if (program === null) throw new Error('pgbouncer is not installed: apt-get install pgbouncer');
  const owner = await serverOwner();
  const dir = await mkdtemp(path.join(tmpdir(), 'pgr-pgb-'));
  const password = options.password ?? '';
  const port = options.port ?? (await freePort());
  const configFile = path.join(dir, 'pgbouncer.ini');
  await writeFile(configFile, settingsText(dir, port, options));
  await writeFile(path.join(dir, 'users.txt'), ['postgres', ADMIN].map((user) => `"${user}" "${password}"\n`).join(''));
  if (process.getuid?.() === 0) await chown(dir, owner.uid, owner.gid);
  let running: PeerProcess | null = null;
  const pgbouncer: TestPgbouncer = {
    port,
    adminUser: ADMIN,
    url: (database = 'postgres') =>
      `postgresql://postgres${password === '' ? '' : `:${encodeURIComponent(password)}`}@127.0.0.1:${String(port)}/${database}`,
    admin: (command) => ask(port, password, command),
    pid: () => running?.pid ?? 0,
    async start() {
      running ??= await startPeer({
        program,
        args: [configFile],
        log: path.join(dir, 'log'),
        ready: () => listens(port),
        ...(process.getuid?.() === 0 ? { runAs: owner } : {}),
      });
    },
    async stop(signal = 'SIGTERM') {
      await running?.stop(signal);
      running = null;
    },
    async destroy() {
      await pgbouncer.stop('SIGKILL');
      await rm(dir, { recursive: true, force: true });
      alive.delete(pgbouncer);
    },
  };
  alive.add(pgbouncer);
  await pgbouncer.start().catch(async (error: unknown) => {
    await pgbouncer.destroy();
    throw error;
  });
  return pgbouncer;
}

function settingsText(dir: string, port: number, options: PgbouncerOptions): string {
  const { target, databases = ['*'] } = options;
  const address = `host=${target.host ?? '127.0.0.1'} port=${String(target.port)}`;
  return [
    '[databases]',
    ...databases.map((name) => `${name} = ${address}`),
    '[pgbouncer]',
    'listen_addr = 127.0.0.1',
    `listen_port = ${String(port)}`,
    'unix_socket_dir =',
    `auth_type = ${options.password === undefined ? 'trust' : 'scram-sha-256'}`,
    `auth_file = ${path.join(dir, 'users.txt')}`,
    `admin_users = ${ADMIN}`,
    `pool_mode = ${options.poolMode ?? 'transaction'}`,
    'max_client_conn = 200',
    'default_pool_size = 20',
    // A login that fails because the write address has nobody is tried again at once, not after 15 s.
    'server_login_retry = 0.1',
    'ignore_startup_parameters = extra_float_digits,options',
    ...(options.settings ?? []),
    '',
  ].join('\n');
}

async function ask<Row extends pg.QueryResultRow>(port: number, password: string, command: string): Promise<Row[]> {
  const client = new pg.Client({
    host: '127.0.0.1',
    port,
    user: ADMIN,
    database: 'pgbouncer',
    password: () => password,
    connectionTimeoutMillis: 5_000,
    query_timeout: 30_000,
  });
  client.on('error', () => undefined);
  await client.connect();
  try {
    return (await client.query<Row>(command)).rows;
  } finally {
    await client.end();
  }
}
