/** A real controller's bucket on a real S3 server, an environment that has nothing else, and the programs that read it. */
import { chmod, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { stringify } from 'yaml';

import { createObjectStore, type ObjectStore } from '../../../activities/backup-store/s3-objects.js';
import type { ActivityDeps } from '../../../activities/lib/deps.js';
import { createDeps } from '../../../workers/deps.js';
import { serverDirectory, serverOwner } from '../../support/cluster.js';
import { BUCKET_DIR, DATABASUS_DIR } from '../../support/databasus.js';
import type { TestS3 } from '../../support/s3.js';
import { freePort } from '../../support/ports.js';
import { bundleInto } from '../../support/bundle.js';

export type ExpectedDatabase = {
  id: string;
  postgresMajor: number;
  targetTime: string;
  rowsAndMd5AtTarget: string;
  query: string;
  database: string;
  presentAtTarget: string;
  absentAtTarget: string;
};

export async function readExpected(): Promise<Record<'p17' | 'p18', ExpectedDatabase>> {
  const text = await readFile(path.join(DATABASUS_DIR, 'expected.json'), 'utf8');
  return (JSON.parse(text) as { databases: Record<'p17' | 'p18', ExpectedDatabase> }).databases;
}

/** Puts every object of the bucket below `prefix`. */
export async function fillBucket(s3: TestS3, prefix: string): Promise<ObjectStore> {
  const objects = createObjectStore({ ...s3.location, prefix }, s3);
  for (const name of await readdir(BUCKET_DIR)) await objects.put(name, await readFile(path.join(BUCKET_DIR, name)));
  return objects;
}

export type Scene = { dir: string; distDir: string; configPath: string; deps: ActivityDeps; remove(): Promise<void> };

/**
 * An environment `shop` without any live node, whose store is the bucket. With `others` the bucket is not the store of production, which is an empty one; its
 * copies below these prefixes are further stores.
 */
export async function makeScene(
  s3: TestS3,
  expected: ExpectedDatabase,
  options: { binDir: string; prefix: string; secretKey?: string; others?: Record<string, string> },
): Promise<Scene> {
  process.env['PGR_TEST_S3_KEY'] = s3.accessKeyId;
  process.env['PGR_TEST_S3_SECRET'] = s3.secretAccessKey;
  process.env['PGR_TEST_CONTROLLER_KEY'] =
    options.secretKey ?? (await readFile(path.join(DATABASUS_DIR, 'secret.key'), 'utf8'));
  const bucketAt = (prefix: string): unknown => ({
    kind: 'databasus-bucket',
    ...s3.location,
    prefix,
    secretKey: 'env:PGR_TEST_CONTROLLER_KEY',
    databaseId: expected.id,
  });
  const { others } = options;
  const stores =
    others === undefined
      ? { backups: bucketAt(options.prefix) }
      : {
          backups: { kind: 's3', ...s3.location, prefix: 'empty/' },
          otherBackups: Object.fromEntries(Object.entries(others).map(([name, at]) => [name, bucketAt(at)])),
        };
  return sceneWithStores(stores, expected, { binDir: options.binDir, programs: ['fetch-databasus'] });
}

export type SceneOptions = {
  binDir: string;
  programs: readonly string[];
  /** A live server; without it nothing runs at the node's address. */
  node?: { port: number; dataDir: string };
};

/** The same with any store. */
export function sceneWith(backups: unknown, expected: ExpectedDatabase, options: SceneOptions): Promise<Scene> {
  return sceneWithStores({ backups }, expected, options);
}

async function sceneWithStores(
  stores: Record<string, unknown>,
  expected: ExpectedDatabase,
  { binDir, programs, node }: SceneOptions,
): Promise<Scene> {
  const dir = await serverDirectory('pgr-databasus-');
  await chmod(dir, 0o755);
  const distDir = path.join(dir, 'dist');
  await mkdir(distDir);
  await bundleInto(
    distDir,
    programs.map((name) => `workers/${name}.ts`),
  );
  const configPath = path.join(dir, 'recovery.yaml');
  await writeFile(configPath, stringify(await config(dir, stores, expected, { binDir, node })), { mode: 0o644 });
  const { activities: deps } = await createDeps(configPath, distDir);
  return { dir, distDir, configPath, deps, remove: () => rm(dir, { recursive: true, force: true, maxRetries: 3 }) };
}

/** Name of the user of test servers. */
async function serverUser(): Promise<string> {
  const { uid } = await serverOwner();
  const lines = (await readFile('/etc/passwd', 'utf8')).split('\n').map((line) => line.split(':'));
  return lines.find((fields) => fields[2] === String(uid))?.[0] ?? 'postgres';
}

async function config(
  dir: string,
  stores: Record<string, unknown>,
  expected: ExpectedDatabase,
  { binDir, node }: { binDir: string; node: SceneOptions['node'] },
): Promise<unknown> {
  const { port, dataDir } = node ?? { port: await freePort(), dataDir: path.join(dir, 'data') };
  const { database, query } = expected;
  return {
    version: 1,
    stateDir: path.join(dir, 'state'),
    record: { kind: 'directory', path: path.join(dir, 'record') },
    environments: {
      shop: {
        postgres: { user: 'postgres' },
        nodes: [
          {
            name: 'dallas',
            host: 'dallas',
            address: '127.0.0.1',
            port,
            dataDir,
            binDir,
            runtime: process.getuid?.() === 0 ? { kind: 'process', runAs: await serverUser() } : { kind: 'process' },
          },
        ],
        routing: {
          kind: 'multihost',
          url: `postgresql://postgres@127.0.0.1:${String(port)}/postgres?target_session_attrs=read-write`,
        },
        ...stores,
        sandbox: { dir: path.join(dir, 'sandboxes'), sharedBuffers: '32MB' },
        heartbeat: { enabled: false },
        checks: [
          { name: 'rows and md5', database, sql: query, expect: expected.rowsAndMd5AtTarget },
          {
            name: 'present',
            database,
            sql: `select count(*) from items where note = '${expected.presentAtTarget}'`,
            expect: 1,
          },
          {
            name: 'absent',
            database,
            sql: `select count(*) from items where note = '${expected.absentAtTarget}'`,
            expect: 0,
          },
        ],
      },
    },
  };
}
