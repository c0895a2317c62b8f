/** Production with a database worth dumping, dumps of it in every format, and the dependencies of the activities around a dump. */
import { chown, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import type { ActivityDeps } from '../../../activities/lib/deps.js';
import { runProgram, runProgramOrFail } from '../../../activities/lib/exec.js';
import { createDiscardSandbox } from '../../../activities/postgres/sandbox/index.js';
import { configSchema, type Config } from '../../../config/schema.js';
import type { PlanDumpInput } from '../../../shared/contracts/dump.js';
import type { SandboxRef } from '../../../shared/contracts/sandbox.js';
import { makeDeps } from './deps.js';
import { bundleFile } from '../../support/bundle.js';
import { serverOwner, startCluster, type Cluster } from '../../support/cluster.js';

export type Scene = {
  dir: string;
  primary: Cluster;
  config: Config;
  deps: ActivityDeps;
  /** Files by name: custom, directory, tar, plain, gzip, zstd, lz4, cluster, globals. */
  dumps: Record<string, string>;
  /** A sandbox of its own, dropped by `clean`. */
  sandbox(name: string): SandboxRef;
  planInput(file: string, more?: Partial<PlanDumpInput>): PlanDumpInput;
  clean(): Promise<void>;
  destroy(): Promise<void>;
};

export const ROWS = 20_000;

const SCHEMA = `
create extension pg_trgm;
create table orders (id serial primary key, body text not null default 'a;''b');
alter table orders owner to app;
grant select on orders to audit;
create table "Odd name" (id int generated always as identity primary key, at timestamptz default now());
create table parts (id int, region text) partition by list (region);
create table parts_eu partition of parts for values in ('eu');
create unlogged table cache (id int);
create index on orders using gin (body gin_trgm_ops);
create function tricky() returns text language plpgsql as $f$ begin
COPY orders FROM stdin;
return 'it''s'; end $f$;
comment on table orders is 'several
COPY lines FROM stdin;
lines';
alter table orders enable row level security;
create policy seen on orders for select to audit using (true);
insert into orders (body) select E'row ' || g || E'\\n\\\\.' from generate_series(1, ${String(ROWS)}) g;
insert into "Odd name" default values;
insert into parts values (1, 'eu'), (2, 'eu');
insert into cache values (1);
alter table parts add constraint old_rows check (id > 0) not valid;
`;

/** The cluster is production: its database is \`shop\`. */
export async function makeScene(options: { binDir?: string } = {}): Promise<Scene> {
  const dir = await mkdtemp(path.join(tmpdir(), 'pgr-dump-'));
  await giveAway(dir);
  const primary = await startCluster({
    dir,
    conf: ['track_commit_timestamp = on'],
    ...(options.binDir === undefined ? {} : { binDir: options.binDir }),
  });
  try {
    return await fillScene(dir, primary);
  } catch (error) {
    await primary.destroy();
    throw error;
  }
}

async function giveAway(dir: string): Promise<void> {
  const owner = await serverOwner();
  if (process.getuid?.() === 0) await chown(dir, owner.uid, owner.gid);
}

async function fillScene(dir: string, primary: Cluster): Promise<Scene> {
  await primary.query("create role app login password 'app-secret'");
  await primary.query('create role audit');
  await primary.query('create database shop owner app');
  await inShop(primary, SCHEMA);
  await primary.query("alter database shop set work_mem = '8MB'");
  const dumps = await makeDumps(dir, primary);
  const config = makeConfig(dir, primary);
  const deps = makeDeps(dir, config);
  await bundleFile('workers/restore-dump.ts', path.join(dir, 'restore-dump.cjs'));
  const refs: SandboxRef[] = [];
  const clean = async (): Promise<void> => {
    for (const ref of refs.splice(0)) await createDiscardSandbox(deps)({ ref }).catch(() => undefined);
  };
  return {
    dir,
    primary,
    config,
    deps,
    dumps,
    sandbox(name) {
      const ref = refOf(name);
      refs.push(ref);
      return ref;
    },
    planInput: (file, more = {}) => ({
      environment: 'shop',
      host: 'dallas',
      source: { kind: 'file', path: file },
      globals: null,
      jobs: 2,
      locale: null,
      quick: false,
      requestedAt: new Date().toISOString(),
      ...more,
    }),
    clean,
    async destroy() {
      await clean();
      await primary.destroy();
      await rm(dir, { recursive: true, force: true });
    },
  };
}

export function refOf(name: string): SandboxRef {
  const runId = `${name}-0000-4000-8000-000000000000`;
  return { environment: 'shop', run: `shop/restore-dump/${name}`, runId, sandbox: name, host: 'dallas' };
}

/** Runs SQL in production's database. */
export async function inShop(primary: Cluster, sql: string): Promise<string> {
  const result = await runProgram(path.join(primary.binDir, 'psql'), [
    ...['-X', '-q', '-At', '-v', 'ON_ERROR_STOP=1', '-d', shopUrl(primary), '-c', sql],
  ]);
  if (result.exitCode !== 0) throw new Error(result.stderr);
  return result.stdout.trim();
}

export function shopUrl(primary: Cluster): string {
  return `postgresql://postgres@127.0.0.1:${String(primary.port)}/shop`;
}

async function makeDumps(dir: string, primary: Cluster): Promise<Record<string, string>> {
  const folder = path.join(dir, 'dumps');
  await mkdir(folder, { mode: 0o755 });
  const file = (name: string): string => path.join(folder, name);
  const tool = (name: string): string => path.join(primary.binDir, name);
  const dump = (...args: string[]): Promise<string> =>
    runProgramOrFail(tool('pg_dump'), ['-d', shopUrl(primary), ...args]);
  await dump('-Fc', '-f', file('shop.dump'));
  await dump('-Fd', '-j2', '-f', file('shop.dir'));
  await dump('-Ft', '-f', file('shop.tar'));
  await dump('-f', file('shop.sql'));
  const whole = ['-d', `postgresql://postgres@127.0.0.1:${String(primary.port)}/postgres`];
  await runProgramOrFail(tool('pg_dumpall'), [...whole, '-f', file('all.sql')]);
  await runProgramOrFail(tool('pg_dumpall'), [...whole, '--globals-only', '-f', file('globals.sql')]);
  await runProgramOrFail('gzip', ['-k', file('shop.sql')]);
  await runProgramOrFail('zstd', ['-q', '-k', file('shop.sql')]);
  await runProgramOrFail('lz4', ['-q', '-k', file('shop.sql'), file('shop.sql.lz4')]);
  return {
    custom: file('shop.dump'),
    directory: file('shop.dir'),
    tar: file('shop.tar'),
    plain: file('shop.sql'),
    gzip: file('shop.sql.gz'),
    zstd: file('shop.sql.zst'),
    lz4: file('shop.sql.lz4'),
    cluster: file('all.sql'),
    globals: file('globals.sql'),
  };
}

function makeConfig(dir: string, primary: Cluster): Config {
  const first = 22_100 + (process.pid % 50) * 20;
  return configSchema.parse({
    version: 1,
    stateDir: path.join(dir, 'state'),
    record: { kind: 'directory', path: path.join(dir, 'record') },
    environments: {
      shop: {
        postgres: { user: 'postgres', database: 'shop' },
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
        routing: { kind: 'multihost', url: `${shopUrl(primary)}?target_session_attrs=read-write` },
        backups: { kind: 's3', bucket: 'b', accessKeyId: 'env:PGR_TEST_KEY', secretAccessKey: 'env:PGR_TEST_KEY' },
        sandbox: { ports: [first, first + 19], sharedBuffers: '32MB' },
        verify: { statementTimeout: '20s' },
        checks: [{ name: 'orders are there', sql: 'select count(*) from orders', expect: ROWS }],
      },
    },
  });
}

/** A file of its own with this content. */
export async function writeDump(scene: Scene, name: string, content: string | Buffer): Promise<string> {
  const file = path.join(scene.dir, 'dumps', name);
  await writeFile(file, content);
  return file;
}
