/**
 * A real S3 server (SeaweedFS) on loopback for tests. Clients talk to a small TCP proxy in front of it, which counts what the server
 * sends and can cut connections; so "nothing was fetched twice" is a number.
 */
import { CreateBucketCommand, DeleteObjectCommand, PutObjectCommand, S3Client } from '@aws-sdk/client-s3';
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdir, mkdtemp, open, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import type { S3LocationConfig } from '../../config/schema.js';
import { startProxy } from './counting-proxy.js';
import { testTools } from './tools.js';
import { freePorts } from './ports.js';

export type TestS3 = {
  endpoint: string;
  bucket: string;
  accessKeyId: string;
  secretAccessKey: string;
  /** The same as a location of the config; the credentials are references to environment variables that tests set themselves. */
  location: S3LocationConfig;
  /** Bytes that the server sent to its clients (answers with their headers) since the start. */
  bytesServed(): number;
  /** The next `connections` connections that carry more than `afterBytes` of answers are cut there. */
  cutConnections(afterBytes: number, connections?: number): void;
  /** Stops the server; clients get "connection refused". */
  stop(): Promise<void>;
  /** Starts it again on the same ports with the same data. */
  start(): Promise<void>;
  destroy(): Promise<void>;
};

const TEST_ACCESS_KEY = 'testkey';
const TEST_SECRET_KEY = 'testsecret';

/** A user who may list and read, and neither write nor delete. */
export const READER = { accessKeyId: 'readerkey', secretAccessKey: 'readersecret' };

const alive = new Set<TestS3>();

/** Destroys every server of this file that was not destroyed by its test. */
export async function destroyAllS3(): Promise<void> {
  await Promise.all([...alive].map((server) => server.destroy()));
}

/** Starts a server with one empty bucket. `dir` keeps the data (it is left in place then). */
export async function startS3(options: { dir?: string; bucket?: string } = {}): Promise<TestS3> {
  const weed = process.env['PGR_TEST_WEED'] ?? (await testTools()).weed;
  const dir = options.dir ?? (await mkdtemp(path.join(tmpdir(), 'pgr-s3-')));
  const bucket = options.bucket ?? 'backups';
  await mkdir(path.join(dir, 'data'), { recursive: true });
  await writeFile(path.join(dir, 's3.json'), JSON.stringify(identities()));
  const ports = await freePorts(8);
  const proxy = await startProxy(ports[6] ?? 0);
  let child: ChildProcess | null = null;

  const server: TestS3 = {
    endpoint: `http://127.0.0.1:${String(proxy.port)}`,
    bucket,
    accessKeyId: TEST_ACCESS_KEY,
    secretAccessKey: TEST_SECRET_KEY,
    location: {
      endpoint: `http://127.0.0.1:${String(proxy.port)}`,
      region: 'us-east-1',
      bucket,
      prefix: '',
      forcePathStyle: true,
      accessKeyId: 'env:PGR_TEST_S3_KEY',
      secretAccessKey: 'env:PGR_TEST_S3_SECRET',
    },
    bytesServed: () => proxy.bytesServed(),
    cutConnections: (afterBytes, connections = 1) => {
      proxy.cut(afterBytes, connections);
    },
    async start() {
      if (child !== null) return;
      child = await launch(weed, dir, ports);
      await untilReady(server, child);
    },
    async stop() {
      const running = child;
      child = null;
      proxy.dropAll();
      if (running !== null) await end(running);
    },
    async destroy() {
      alive.delete(server);
      await server.stop();
      await proxy.close();
      if (options.dir === undefined) await rm(dir, { recursive: true, force: true, maxRetries: 3 });
    },
  };
  alive.add(server);
  try {
    await server.start();
  } catch (error) {
    await server.destroy();
    throw error;
  }
  return server;
}

function identities(): unknown {
  const credentials = [{ accessKey: TEST_ACCESS_KEY, secretKey: TEST_SECRET_KEY }];
  const reader = [{ accessKey: READER.accessKeyId, secretKey: READER.secretAccessKey }];
  return {
    identities: [
      { name: 'test', credentials, actions: ['Admin', 'Read', 'List', 'Tagging', 'Write'] },
      { name: 'reader', credentials: reader, actions: ['Read', 'List'] },
    ],
  };
}

/** One process with master, volume, filer and S3 gateway; `ports` are used in the order of the arguments. */
function weedArgs(dir: string, ports: readonly number[]): string[] {
  const names = ['master.port', 'master.port.grpc', 'volume.port', 'volume.port.grpc', 'filer.port', 'filer.port.grpc'];
  const portArgs = [...names, 's3.port', 's3.port.grpc'].map((name, index) => `-${name}=${String(ports[index])}`);
  return [
    '-logtostderr=true',
    'server',
    `-dir=${path.join(dir, 'data')}`,
    '-ip=127.0.0.1',
    '-ip.bind=127.0.0.1',
    '-filer',
    '-s3',
    `-s3.config=${path.join(dir, 's3.json')}`,
    '-s3.iam=false',
    '-s3.port.iceberg=0',
    '-s3.port.lance=0',
    '-master.telemetry=false',
    '-master.electionTimeout=1s',
    '-master.volumeSizeLimitMB=1024',
    '-volume.max=0',
    '-volume.preStopSeconds=0',
    // Below /tmp by default, named after the port only: two users of the machine would collide.
    `-filer.localSocket=${path.join(dir, 'filer.sock')}`,
    ...portArgs,
  ];
}

async function launch(weed: string, dir: string, ports: readonly number[]): Promise<ChildProcess> {
  const log = await open(path.join(dir, 'weed.log'), 'a');
  try {
    return spawn(weed, weedArgs(dir, ports), { cwd: dir, stdio: ['ignore', log.fd, log.fd] });
  } finally {
    await log.close();
  }
}

async function untilReady(server: TestS3, child: ChildProcess): Promise<void> {
  const client = new S3Client({
    endpoint: server.endpoint,
    region: 'us-east-1',
    forcePathStyle: true,
    credentials: server,
    maxAttempts: 1,
  });
  const deadline = Date.now() + 60_000;
  try {
    for (;;) {
      try {
        await client.send(new CreateBucketCommand({ Bucket: server.bucket })).catch((error: unknown) => {
          if (!(error instanceof Error) || !error.name.startsWith('BucketAlready')) throw error;
        });
        // The gateway answers seconds before the first write can succeed.
        const probe = { Bucket: server.bucket, Key: 'ready' };
        await client.send(new PutObjectCommand({ ...probe, Body: 'x' }));
        await client.send(new DeleteObjectCommand(probe));
        return;
      } catch (error) {
        if (child.exitCode !== null || Date.now() > deadline) throw error;
        await sleep(50);
      }
    }
  } finally {
    client.destroy();
  }
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise((resolve) => child.once('exit', resolve));
  // SIGTERM takes 17 s (its parts wait for each other); what it has acknowledged survives SIGKILL, because the machine stays up.
  child.kill('SIGKILL');
  await gone;
}
