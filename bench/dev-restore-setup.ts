/** A server as PostgreSQL's packages leave it, a dump of a shop in the custom format, and Temporal with a worker: what refreshes are measured on. */
import { mkdir, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { stringify } from 'yaml';

import { startServer, stopServer } from '../activities/postgres/server.js';
import { findServerUser, type ServerUser } from '../lab/server-user.js';
import { findTools } from '../lab/tools.js';
import type { Closers } from './closers.js';
import { benchToolsDir } from './flip-lab.js';
import { startPgrServers } from './measure-pgr.js';
import { freePorts, runProgram } from './processes.js';
import { give } from './rebuild-pair.js';
import { BENCH_ENVIRONMENT, secretEnvironment } from './setup.js';

export type DevBench = {
  binDir: string;
  user: ServerUser | null;
  port: number;
  dump: string;
  dumpBytes: number;
  pgr: (...args: string[]) => Promise<unknown>;
  /** A program of PostgreSQL against the server. */
  run: (program: string, ...args: string[]) => Promise<string>;
};

/** About a third of the bytes is in these. */
export const DEFERRED = ['visits', 'communications', 'audits'];

/** Rows for one gigabyte of dump, found by trying: random text shrinks to about 60 %. */
const ROWS_OF_GIGABYTE = 1_350_000;

function schemaOf(gigabytes: number): string {
  const rows = Math.ceil(ROWS_OF_GIGABYTE * gigabytes);
  const customers = Math.ceil(rows / 10);
  const text = (count: number): string =>
    Array.from({ length: count }, (_, at) => `md5((g * 7 + ${String(at)})::text)`).join(" || ' ' || ");
  return `
    create table customers (id bigint primary key, email text not null, name text not null, country text not null);
    create table orders (id bigint primary key, customer_id bigint not null, placed timestamptz not null, state text not null, note text);
    create table items (id bigint primary key, order_id bigint not null, product int not null, price numeric(10,2) not null, label text);
    create table messages (id bigint primary key, customer_id bigint not null, body text);
    create table visits (id bigint primary key, customer_id bigint not null, at timestamptz not null, agent text);
    create table communications (id bigint primary key, order_id bigint not null, body text);
    create table audits (id bigint primary key, at timestamptz not null, what text);
    insert into customers select g, md5(g::text) || '@example.com', ${text(2)}, 'c' || g % 50 from generate_series(1, ${String(customers)}) g;
    insert into orders select g, 1 + g % ${String(customers)}, timestamptz '2024-01-01' + g * interval '20 s', 's' || g % 9, ${text(6)} from generate_series(1, ${String(rows)}) g;
    insert into items select g, 1 + g % ${String(rows)}, g % 20000, g % 9000 / 10.0, ${text(2)} from generate_series(1, ${String(rows * 3)}) g;
    insert into messages select g, 1 + g % ${String(customers)}, ${text(14)} from generate_series(1, ${String(rows)}) g;
    insert into visits select g, 1 + g % ${String(customers)}, timestamptz '2024-01-01' + g * interval '7 s', ${text(3)} from generate_series(1, ${String(rows)}) g;
    insert into communications select g, 1 + g % ${String(rows)}, ${text(5)} from generate_series(1, ${String(rows)}) g;
    insert into audits select g, timestamptz '2024-01-01' + g * interval '9 s', ${text(4)} from generate_series(1, ${String(rows)}) g;
    create index on customers (email); create index on customers (country);
    create index on orders (customer_id); create index on orders (placed); create index on orders (state, placed);
    create index on items (order_id); create index on items (product);
    create index on messages (customer_id);
    create index on visits (customer_id); create index on visits (at);
    create index on communications (order_id); create index on audits (at);
    alter table orders add foreign key (customer_id) references customers;
    alter table items add foreign key (order_id) references orders;
    alter table messages add foreign key (customer_id) references customers;
    alter table visits add foreign key (customer_id) references customers;
    alter table communications add foreign key (order_id) references orders;
    create materialized view revenue as select o.customer_id, sum(i.price) as total from orders o join items i on i.order_id = o.id group by 1;
    create materialized view countries as select c.country, sum(r.total) as total from customers c join revenue r on r.customer_id = c.id group by 1;
    create index on revenue (customer_id);`;
}

/** Makes everything; `closers` gets what ends it. */
export async function makeDevBench(request: {
  parent: string;
  gigabytes: number;
  distDir: string;
  jobs: number | null;
  closers: Closers;
  say: (text: string) => void;
}): Promise<DevBench> {
  const { parent, gigabytes, distDir, closers, say } = request;
  const user = await findServerUser();
  const tools = await findTools({ toolsDir: benchToolsDir(), env: process.env, serverUser: user, progress: say });
  const binDir = tools.postgres.path;
  const [temporalPort = 0, port = 0, nobody = 0, ownPort = 0] = await freePorts(4);
  const dir = path.join(parent, 'server');
  for (const one of [dir, path.join(parent, 'own')]) {
    await mkdir(one);
    await give(one, user);
  }
  const dataDir = path.join(dir, 'data');
  const run = (program: string, ...args: string[]): Promise<string> =>
    runProgram(path.join(binDir, program), [...args], {
      user,
      env: { PGHOST: '127.0.0.1', PGPORT: String(port), PGUSER: 'postgres' },
    });
  await run('initdb', '-D', dataDir, '-U', 'postgres', '--auth=trust', '--no-sync', '--locale=C', '-E', 'UTF8');
  closers.add(() => stopServer({ dataDir, mode: 'immediate' }));
  closers.add(() => stopServer({ dataDir: path.join(parent, 'own', 'data'), mode: 'immediate' }));
  const options = ['-c', 'listen_addresses=127.0.0.1', '-c', `port=${String(port)}`, '-c', 'unix_socket_directories='];
  await startServer({
    binDir,
    dataDir,
    options,
    logFile: path.join(parent, 'server.log'),
    ...(user === null ? {} : { owner: user }),
  });
  const dump = path.join(dir, 'shop.dump');
  say(`making a dump of about ${String(gigabytes)} GB`);
  await run('createdb', 'shop');
  await run('psql', '-q', '-v', 'ON_ERROR_STOP=1', '-d', 'shop', '-c', schemaOf(gigabytes));
  await run('pg_dump', '-Fc', '-f', dump, 'shop');
  await run('dropdb', 'shop');
  await run('psql', '-q', '-c', 'checkpoint');
  const config = path.join(parent, 'recovery.yaml');
  await writeFile(
    config,
    stringify(configOf({ ...request, binDir, user, port, nobody, ownPort, temporalPort, dump })),
    { mode: 0o644 },
  );
  const servers = await startPgrServers({
    dir: parent,
    distDir,
    configPath: config,
    temporalPort,
    temporal: tools.temporal.path,
  });
  closers.add(() => servers.close());
  const program = path.join(distDir, 'cli', 'main.js');
  const env = { ...secretEnvironment(), PGR_USER: 'bench' };
  return {
    ...{ binDir, user, port, dump, run },
    dumpBytes: (await stat(dump)).size,
    pgr: async (...args) =>
      JSON.parse(
        await runProgram(process.execPath, [program, ...args, '--config', config, '--json'], { env }),
      ) as unknown,
  };
}

type ConfigOf = {
  parent: string;
  jobs: number | null;
  binDir: string;
  user: ServerUser | null;
  port: number;
  nobody: number;
  ownPort: number;
  temporalPort: number;
  dump: string;
};

/** `bench` refreshes the server that is there, `own` one that pgr makes. */
function configOf({ parent, jobs, binDir, user, port, nobody, ownPort, temporalPort, dump }: ConfigOf): unknown {
  const runAs = user === null ? {} : { runAs: user.name };
  const environment = (target: object): unknown => ({
    postgres: {},
    nodes: [
      {
        name: 'a',
        host: 'a',
        address: '127.0.0.1',
        port: nobody,
        dataDir: '/srv/nobody',
        binDir,
        runtime: { kind: 'process', ...runAs },
      },
    ],
    routing: {
      kind: 'multihost',
      url: `postgresql://postgres@127.0.0.1:${String(nobody)}/postgres?target_session_attrs=read-write`,
    },
    backups: { kind: 's3', bucket: 'none', accessKeyId: 'env:PGR_BENCH_KEY', secretAccessKey: 'env:PGR_BENCH_SECRET' },
    heartbeat: { enabled: false },
    dev: {
      sources: { local: { kind: 'file', path: dump } },
      ...{ target, database: 'shop', binDir, deferred: DEFERRED, neverInto: ['1'] },
      ...(jobs === null ? {} : { jobs }),
    },
  });
  return {
    version: 1,
    temporal: { address: `127.0.0.1:${String(temporalPort)}`, namespace: 'default' },
    stateDir: path.join(parent, 'state'),
    record: { kind: 'directory', path: path.join(parent, 'record') },
    environments: {
      [BENCH_ENVIRONMENT]: environment({ kind: 'server', url: `postgresql://postgres@127.0.0.1:${String(port)}/shop` }),
      own: environment({ kind: 'process', dataDir: path.join(parent, 'own', 'data'), port: ownPort, ...runAs }),
    },
  };
}
