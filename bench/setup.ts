/**
 * What is restored: a cluster of about a gigabyte with some sixty segments of WAL after its base, archived twice into one S3 server: by our
 * programs, and as a plain script would have done it (one tar.gz, segments as they are).
 */
import { PutObjectCommand, CreateBucketCommand, type S3Client } from '@aws-sdk/client-s3';
import { createReadStream } from 'node:fs';
import { chmod, chown, mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { stringify } from 'yaml';

import { readBaseHeader, type BaseHeader } from '../activities/backup-store/base-catalog.js';
import { createS3Client } from '../activities/backup-store/s3-client.js';
import { createObjectStore, type ObjectStore } from '../activities/backup-store/s3-objects.js';
import { programFile } from '../activities/backup-store/s3-store.js';
import { walPushCommand } from '../activities/backup-store/wal-push-command.js';
import { listWalFiles, readWalFile } from '../activities/backup-store/wal-archive.js';
import type { S3LocationConfig } from '../config/schema.js';
import { findServerUser, type ServerUser } from '../lab/server-user.js';
import { findTools } from '../lab/tools.js';
import { parseLsn, type Lsn } from '../shared/lsn.js';
import { isSegmentName } from '../shared/timeline.js';
import { newSegments } from './each-segment.js';
import { ended, freePorts, runProgram, startProgram } from './processes.js';

export type BenchSize = { scale: number; segments: number };

export type Bench = {
  dir: string;
  distDir: string;
  binDir: string;
  temporal: string;
  user: ServerUser | null;
  configPath: string;
  location: S3LocationConfig;
  credentials: { accessKeyId: string; secretAccessKey: string };
  objects: ObjectStore;
  base: BaseHeader;
  primaryPort: number;
  temporalPort: number;
  /** The only port that a sandbox may take. */
  sandboxPort: number;
  /** First and last segment that recovery needs. */
  wal: { first: string; last: string; count: number };
  /** Commit that must be there, and where it ends; the accident comes right after it. */
  target: { lsn: Lsn; time: string };
  close(): Promise<void>;
};

export const BENCH_ENVIRONMENT = 'bench';

/** Of every server that replays, whichever way: a quarter of the memory of a small machine. */
export const SHARED_BUFFERS = '1GB';

const BUCKET = 'bench';
export const BENCH_CREDENTIALS = { accessKeyId: 'benchkey', secretAccessKey: 'benchsecret' };
const SECRET_ENV = {
  PGR_BENCH_KEY: BENCH_CREDENTIALS.accessKeyId,
  PGR_BENCH_SECRET: BENCH_CREDENTIALS.secretAccessKey,
};

/** Environment of programs that read the benchmark's config. */
export function secretEnvironment(): Record<string, string> {
  return { ...SECRET_ENV };
}

/** Further stores of the same cluster. */
export type OtherStores = {
  /** `otherBackups` of the config. */
  config: (place: StorePlace) => Record<string, unknown>;
  /** Takes their bases, at the moment at which ours is taken. */
  takeBases: (place: Place) => Promise<void>;
  /** Archives a segment, right after ours has it: when a segment came says which moments it holds. */
  archive: (place: Place, segment: string) => Promise<void>;
};

/** What is known before anything runs. */
export type StorePlace = Pick<Bench, 'dir' | 'location'>;

const NO_OTHERS: OtherStores = {
  config: () => ({}),
  takeBases: () => Promise.resolve(),
  archive: () => Promise.resolve(),
};

/** Starts the servers and makes the data; takes a few minutes. `close` stops and removes everything. */
export async function setUp(
  distDir: string,
  size: BenchSize,
  say: (text: string) => void,
  others: OtherStores = NO_OTHERS,
): Promise<Bench> {
  const user = await findServerUser();
  const toolsDir = process.env['PGR_TOOLS_DIR'] ?? path.join('/var/tmp', 'pgr-bench-tools');
  const tools = await findTools({ toolsDir, env: process.env, serverUser: user, progress: say });
  const dir = await mkdtemp(path.join(tmpdir(), 'pgr-bench-'));
  await chmod(dir, 0o755);
  if (user !== null) await chown(dir, user.uid, user.gid);
  const closers: (() => Promise<unknown>)[] = [() => rm(dir, { recursive: true, force: true, maxRetries: 3 })];
  const close = async (): Promise<void> => {
    for (const closer of closers.reverse()) await closer();
  };
  try {
    const ports = await freePorts(12);
    const [temporalPort = 0, sandboxPort = 0] = ports.slice(10);
    const location = await startS3(dir, tools.weed.path, ports, closers);
    const primaryPort = ports[8] ?? 0;
    const configPath = path.join(dir, 'recovery.yaml');
    const binDir = tools.postgres.path;
    await writeFile(
      configPath,
      stringify(
        config({
          dir,
          binDir,
          primaryPort,
          temporalPort,
          sandboxPort,
          location,
          user,
          others: others.config({ dir, location }),
        }),
      ),
      { mode: 0o644 },
    );
    const place = { dir, distDir, binDir, user, configPath, primaryPort, temporalPort, sandboxPort, location };
    await startPrimary(place, closers);
    say(`making a cluster of scale ${String(size.scale)}`);
    const client = createS3Client(location, BENCH_CREDENTIALS);
    const objects = createObjectStore(location, BENCH_CREDENTIALS);
    const data = await makeData(place, size, client, objects, say, others);
    client.destroy();
    return { ...place, ...data, objects, temporal: tools.temporal.path, credentials: BENCH_CREDENTIALS, close };
  } catch (error) {
    await close();
    throw error;
  }
}

export type Place = Pick<Bench, 'dir' | 'distDir' | 'binDir' | 'user' | 'configPath' | 'primaryPort' | 'location'>;

async function startS3(
  dir: string,
  weed: string,
  ports: readonly number[],
  closers: (() => Promise<unknown>)[],
): Promise<S3LocationConfig> {
  const data = path.join(dir, 's3');
  await mkdir(data);
  const identity = { name: 'bench', actions: ['Admin', 'Read', 'List', 'Tagging', 'Write'] };
  const keys = [{ accessKey: BENCH_CREDENTIALS.accessKeyId, secretKey: BENCH_CREDENTIALS.secretAccessKey }];
  await writeFile(path.join(dir, 's3.json'), JSON.stringify({ identities: [{ ...identity, credentials: keys }] }));
  const names = ['master.port', 'master.port.grpc', 'volume.port', 'volume.port.grpc', 'filer.port', 'filer.port.grpc'];
  const portArgs = [...names, 's3.port', 's3.port.grpc'].map((name, at) => `-${name}=${String(ports[at])}`);
  const options = ['-ip=127.0.0.1', '-ip.bind=127.0.0.1', '-filer', '-s3', '-s3.iam=false', '-s3.port.iceberg=0'];
  const limits = ['-s3.port.lance=0', '-master.telemetry=false', '-master.volumeSizeLimitMB=1024', '-volume.max=0'];
  const files = [
    `-dir=${data}`,
    `-s3.config=${path.join(dir, 's3.json')}`,
    `-filer.localSocket=${path.join(dir, 'f.sock')}`,
  ];
  const server = startProgram(weed, ['server', ...options, ...limits, ...files, ...portArgs], path.join(dir, 's3.log'));
  closers.push(async () => {
    server.kill('SIGKILL');
    await ended(server);
  });
  const location: S3LocationConfig = {
    endpoint: `http://127.0.0.1:${String(ports[6])}`,
    region: 'us-east-1',
    bucket: BUCKET,
    prefix: '',
    forcePathStyle: true,
    accessKeyId: 'env:PGR_BENCH_KEY',
    secretAccessKey: 'env:PGR_BENCH_SECRET',
  };
  const client = createS3Client(location, BENCH_CREDENTIALS);
  await until('the S3 server', 60_000, async () => {
    await client.send(new CreateBucketCommand({ Bucket: BUCKET })).catch(() => undefined);
    await client.send(new PutObjectCommand({ Bucket: BUCKET, Key: 'ready', Body: 'x' }));
  });
  client.destroy();
  return location;
}

async function startPrimary(place: Place, closers: (() => Promise<unknown>)[]): Promise<void> {
  const { dir, distDir, binDir, user, configPath, primaryPort } = place;
  const dataDir = path.join(dir, 'primary');
  await runProgram(path.join(binDir, 'initdb'), ['-D', dataDir, '-U', 'postgres', '-k', '--no-sync', '--auth=trust'], {
    user,
  });
  const program = programFile(distDir, 'wal-push');
  const push = walPushCommand({ node: process.execPath, program, configPath, environment: BENCH_ENVIRONMENT });
  const secrets = Object.entries(SECRET_ENV).map(([name, value]) => `${name}=${value}`);
  const settings = [
    `port = ${String(primaryPort)}`,
    "listen_addresses = '127.0.0.1'",
    `unix_socket_directories = '${dir}'`,
    'shared_buffers = 512MB',
    'max_wal_size = 8GB',
    'checkpoint_timeout = 1h',
    'wal_level = replica',
    'summarize_wal = on',
    'synchronous_commit = off',
    'archive_mode = on',
    `archive_command = '${[...secrets, push].join(' ').replaceAll("'", "''")}'`,
  ];
  await writeFile(path.join(dataDir, 'postgresql.conf'), `\n${settings.join('\n')}\n`, { flag: 'a' });
  const server = startProgram(path.join(binDir, 'postgres'), ['-D', dataDir], path.join(dir, 'primary.log'), { user });
  closers.push(async () => {
    server.kill('SIGQUIT');
    await ended(server);
  });
  await until('the primary', 60_000, () => query(primaryPort, 'select 1'));
}

async function makeData(
  place: Place,
  size: BenchSize,
  client: S3Client,
  objects: ObjectStore,
  say: (text: string) => void,
  others: OtherStores,
): Promise<Pick<Bench, 'base' | 'wal' | 'target'>> {
  const { binDir, primaryPort } = place;
  const login = ['-h', '127.0.0.1', '-p', String(primaryPort), '-U', 'postgres'];
  const pgbench = (...args: string[]): Promise<string> =>
    runProgram(path.join(binDir, 'pgbench'), [...login, ...args, 'postgres']);
  await pgbench('-i', '-q', '-s', String(size.scale));
  // pgbench alone compresses ten to one, which no real database does: a third of text like keys, tokens and hashes makes it three to one.
  await query(
    primaryPort,
    `create table documents as select g as id, (select string_agg(md5(random()::text || g || h), '') from generate_series(1, 30) h) as body
       from generate_series(1, ${String(size.scale * 5_000)}) g`,
  );
  await query(primaryPort, 'create table sentinel (name text primary key, at timestamptz default clock_timestamp())');
  say('taking the base, ours and a plain one');
  const base = await takeOurBase(place, objects);
  await takePlainBase(place, client, login);
  await others.takeBases(place);
  say(`writing ${String(size.segments)} segments of wal`);
  const written = async (): Promise<number> => {
    const [row] = await query<{ n: number }>(
      primaryPort,
      `select (pg_current_wal_lsn() - '${base.startLsn}'::pg_lsn)::float8 as n`,
    );
    return Math.floor((row?.n ?? 0) / base.walSegmentBytes);
  };
  const bringNew = newSegments(path.join(place.dir, 'to-others'), objects);
  const bring = (): Promise<void> => bringNew((segment) => others.archive(place, segment));
  while ((await written()) < size.segments) {
    await pgbench('-n', '-c', '4', '-j', '2', '-t', '1500');
    await bring();
  }
  const target = await makeAccident(primaryPort);
  const last = await archiveAll(primaryPort, objects, target.lsn);
  await bring();
  say('copying the wal as a plain script archives it');
  const files = (await listWalFiles(objects, 'wal/')).filter(({ name }) => isSegmentName(name));
  const first = segmentOfRow(
    await query<{ name: string }>(primaryPort, `select pg_walfile_name('${base.startLsn}') as name`),
  );
  const needed = files.filter(({ name }) => name >= first && name <= last);
  for (const file of needed) {
    const Body = await readWalFile(objects, file);
    await client.send(new PutObjectCommand({ Bucket: BUCKET, Key: `plain/wal/${file.name}`, Body }));
  }
  return { base, target, wal: { first, last, count: needed.length } };
}

async function takeOurBase(place: Place, objects: ObjectStore): Promise<BaseHeader> {
  const jobDir = path.join(place.dir, 'job-take-base');
  await mkdir(jobDir);
  const specPath = path.join(jobDir, 'spec-of-program.json');
  const connection = { host: '127.0.0.1', port: place.primaryPort, user: 'postgres', password: null };
  await writeFile(specPath, JSON.stringify({ id: 'full', kind: 'full', binDir: place.binDir, connection }));
  const args = ['--config', place.configPath, '--environment', BENCH_ENVIRONMENT, specPath];
  const env = { ...SECRET_ENV, PGR_JOB_DIR: jobDir };
  await runProgram(process.execPath, [programFile(place.distDir, 'take-base'), ...args], { env });
  return readBaseHeader(objects, 'full');
}

async function takePlainBase(place: Place, client: S3Client, login: readonly string[]): Promise<void> {
  const dir = path.join(place.dir, 'plain-base');
  const args = [...login, '-D', dir, '-Ft', '-z', '-X', 'none', '--checkpoint=fast', '--no-manifest'];
  await runProgram(path.join(place.binDir, 'pg_basebackup'), args);
  const file = path.join(dir, 'base.tar.gz');
  const { size } = await stat(file);
  const Body = createReadStream(file);
  await client.send(new PutObjectCommand({ Bucket: BUCKET, Key: 'plain/base.tar.gz', Body, ContentLength: size }));
  await rm(dir, { recursive: true });
}

/** The last good commit, and right after it the mistake. */
async function makeAccident(port: number): Promise<Bench['target']> {
  await query(port, "insert into sentinel (name) values ('last good')");
  await sleep(50);
  const [at] = await query<{ lsn: string; time: string }>(
    port,
    `select pg_current_wal_insert_lsn()::text as lsn, to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS.US+00') as time`,
  );
  await sleep(50);
  await query(port, "insert into sentinel (name) values ('the accident')");
  await query(port, 'delete from pgbench_tellers');
  const lsn = parseLsn(at?.lsn ?? '');
  if (lsn === null || at === undefined) throw new Error('no lsn');
  return { lsn, time: at.time };
}

/** Switches the segment and waits until everything is archived; name of the segment that holds the target. */
async function archiveAll(port: number, objects: ObjectStore, target: Lsn): Promise<string> {
  const last = segmentOfRow(await query<{ name: string }>(port, `select pg_walfile_name('${target}') as name`));
  await query(port, 'select pg_switch_wal()');
  await until(`segment ${last} in the archive`, 180_000, async () => {
    const found = (await listWalFiles(objects, 'wal/')).some(({ name }) => name === last);
    if (!found) throw new Error('not archived yet');
  });
  return last;
}

function segmentOfRow([row]: readonly { name: string }[]): string {
  if (row === undefined) throw new Error('no segment');
  return row.name;
}

/** Rows of one statement. */
export async function query<Row extends pg.QueryResultRow>(port: number, sql: string): Promise<Row[]> {
  const client = new pg.Client({ host: '127.0.0.1', port, user: 'postgres', database: 'postgres' });
  client.on('error', () => undefined);
  try {
    await client.connect();
    return (await client.query<Row>(sql)).rows;
  } finally {
    await client.end().catch(() => undefined);
  }
}

/** Polls until `probe` does not throw. */
export async function until(what: string, timeoutMs: number, probe: () => Promise<unknown>): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    try {
      await probe();
      return;
    } catch (error) {
      if (Date.now() > deadline) throw new Error(`${what} is not ready`, { cause: error });
      await sleep(25);
    }
  }
}

function config(c: {
  dir: string;
  binDir: string;
  primaryPort: number;
  temporalPort: number;
  sandboxPort: number;
  location: S3LocationConfig;
  user: ServerUser | null;
  others: Record<string, unknown>;
}): unknown {
  const runtime = { kind: 'process', ...(c.user === null ? {} : { runAs: c.user.name }) };
  const node = { name: 'dallas', host: 'here', address: '127.0.0.1', port: c.primaryPort };
  return {
    version: 1,
    temporal: { address: `127.0.0.1:${String(c.temporalPort)}`, namespace: 'default' },
    stateDir: path.join(c.dir, 'state'),
    record: { kind: 'directory', path: path.join(c.dir, 'record') },
    environments: {
      [BENCH_ENVIRONMENT]: {
        postgres: {},
        nodes: [{ ...node, dataDir: path.join(c.dir, 'primary'), binDir: c.binDir, runtime }],
        routing: {
          kind: 'multihost',
          url: `postgresql://postgres@127.0.0.1:${String(c.primaryPort)}/postgres?target_session_attrs=read-write`,
        },
        backups: { kind: 's3', ...c.location },
        otherBackups: c.others,
        sandbox: {
          dir: path.join(c.dir, 'sandboxes'),
          ports: [c.sandboxPort, c.sandboxPort],
          sharedBuffers: SHARED_BUFFERS,
        },
        heartbeat: { enabled: false },
        verify: { rowCounts: false },
      },
    },
  };
}

/** Text of a file, empty when it is not there. */
export async function fileText(file: string): Promise<string> {
  return readFile(file, 'utf8').catch(() => '');
}

/** `2026-11-21 01:02:03.456+00` as pgr wants it. */
export function isoTime(time: string): string {
  return time.replace(' ', 'T').replace('+00', 'Z');
}
