/**
 * An environment whose backups barman-cloud makes, and which pgr may only read: a server that archives into a test bucket, a config with the
 * credentials of a reader, and everything a worker has, made the way a worker makes it.
 */
import { DeleteObjectCommand, GetObjectCommand, PutObjectCommand, S3Client } from '@aws-sdk/client-s3';
import { randomInt } from 'node:crypto';
import { chown, mkdir, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { stringify } from 'yaml';

import { createPlanRecovery } from '../../activities/postgres/plan-recovery.js';
import * as sandbox from '../../activities/postgres/sandbox/index.js';
import { readPostmaster } from '../../activities/postgres/postmaster.js';
import { stopServer } from '../../activities/postgres/server.js';
import { placeOf } from '../../activities/postgres/sandbox/place.js';
import type { ActivityDeps } from '../../activities/lib/deps.js';
import { withClient } from '../../activities/lib/database.js';
import { runProgramOrFail } from '../../activities/lib/exec.js';
import type { RecoveryPlan } from '../../shared/contracts/plan.js';
import type { SandboxRef } from '../../shared/contracts/sandbox.js';
import type { TargetSpec } from '../../shared/target-time.js';
import { createDeps } from '../../workers/deps.js';
import { serverDirectory, serverOwner, type Cluster } from './cluster.js';
import { READER, type TestS3 } from './s3.js';

export type StoreScene = {
  deps: ActivityDeps;
  dir: string;
  plan(target: TargetSpec): Promise<RecoveryPlan>;
  ref(name: string): SandboxRef;
  /** The steps from the plan to a paused sandbox; returns its port. */
  recover(ref: SandboxRef, plan: RecoveryPlan): Promise<number>;
  query<Row extends Record<string, unknown>>(port: number, sql: string): Promise<Row[]>;
  discard(ref: SandboxRef): Promise<void>;
  remove(): Promise<void>;
};

const HOST = 'here';

/** The environment `shop` over `cluster`, its backups in a barman-cloud bucket. `programs` holds mover.cjs. */
export async function makeBarmanScene(
  s3: TestS3,
  cluster: Cluster,
  programs: string,
  store: { prefix: string; server: string },
): Promise<StoreScene> {
  process.env['PGR_TEST_S3_READER'] = READER.accessKeyId;
  process.env['PGR_TEST_S3_READER_SECRET'] = READER.secretAccessKey;
  const keys = { accessKeyId: 'env:PGR_TEST_S3_READER', secretAccessKey: 'env:PGR_TEST_S3_READER_SECRET' };
  return makeStoreScene(cluster, programs, { ...s3.location, ...keys, kind: 'barman-cloud', ...store });
}

/** The environment `shop` over `cluster`, with any store. `programs` holds our programs as single files. */
export async function makeStoreScene(cluster: Cluster, programs: string, backups: unknown): Promise<StoreScene> {
  const dir = await serverDirectory('pgr-barman-');
  const owner = await serverOwner();
  const sandboxes = path.join(dir, 'sandboxes');
  await mkdir(sandboxes);
  if (process.getuid?.() === 0) await chown(sandboxes, owner.uid, owner.gid);
  const configPath = path.join(dir, 'recovery.yaml');
  await writeFile(configPath, stringify(config({ dir, cluster, sandboxes, backups, runAs: await serverUser() })), {
    mode: 0o644,
  });
  const { activities: deps } = await createDeps(configPath, programs);
  const scene: StoreScene = {
    deps,
    dir,
    plan: (target) =>
      createPlanRecovery(deps)({
        environment: 'shop',
        host: HOST,
        target,
        requestedAt: new Date(Date.now() + 1000).toISOString(),
      }),
    ref: (name) => {
      const runId = `${name}-0000-4000-8000-000000000000`;
      return { environment: 'shop', run: `shop/pitr/${name}`, runId, sandbox: name, host: HOST };
    },
    async recover(ref, plan) {
      await sandbox.createPrepareSandbox(deps)({ ref, plan });
      await sandbox.createRestoreBase(deps)({ ref, plan });
      await sandbox.createCombineIncrementals(deps)({ ref, plan });
      const { port } = await sandbox.createReplayWal(deps)({ ref, plan });
      return port;
    },
    query: <Row extends Record<string, unknown>>(port: number, sql: string) =>
      withClient(
        { host: '127.0.0.1', port, user: 'postgres', database: 'postgres', password: null },
        async (client) => (await client.query<Row>(sql)).rows,
      ),
    async discard(ref) {
      await deps.jobs.end(`${ref.runId}.restore-base`);
      const { dataDir } = placeOf(deps.config, ref);
      if ((await readPostmaster(dataDir)).state === 'running') await stopServer({ dataDir, mode: 'immediate' });
      await sandbox.createDiscardSandbox(deps)({ ref });
    },
    remove: () => rm(dir, { recursive: true, force: true, maxRetries: 3 }),
  };
  return scene;
}

type SceneConfig = { dir: string; cluster: Cluster; sandboxes: string; backups: unknown; runAs: string | null };

/** Name of the user of the servers when we are root: where there is no data directory yet, nothing else says it. */
async function serverUser(): Promise<string | null> {
  if (process.getuid?.() !== 0) return null;
  return (await runProgramOrFail('id', ['-un', String((await serverOwner()).uid)])).trim();
}

function config({ dir, cluster, sandboxes, backups, runAs }: SceneConfig): unknown {
  // Several scenes, of several runs of the tests, at once.
  const first = 22_000 + randomInt(500) * 20;
  const { port, dataDir, binDir } = cluster;
  const node = { name: 'dallas', host: HOST, address: '127.0.0.1', port, dataDir, binDir };
  return {
    version: 1,
    stateDir: path.join(dir, 'state'),
    record: { kind: 'directory', path: path.join(dir, 'record') },
    environments: {
      shop: {
        postgres: {},
        nodes: [{ ...node, runtime: { kind: 'process', ...(runAs === null ? {} : { runAs }) } }],
        routing: {
          kind: 'multihost',
          url: `postgresql://postgres@127.0.0.1:${String(port)}/postgres?target_session_attrs=read-write`,
        },
        backups,
        sandbox: { dir: sandboxes, ports: [first, first + 19], sharedBuffers: '16MB' },
      },
    },
  };
}

export type BucketHand = {
  /** Takes an object away or replaces it, with the rights of the owner of the bucket; returns how to put it back. */
  change(key: string, to: ((body: Buffer) => Buffer) | null): Promise<() => Promise<void>>;
  write(key: string, body: Buffer): Promise<() => Promise<void>>;
};

/** Changes objects of a test bucket. */
export function bucketHand(s3: TestS3): BucketHand {
  const client = new S3Client({ endpoint: s3.endpoint, region: 'us-east-1', forcePathStyle: true, credentials: s3 });
  const at = (key: string) => ({ Bucket: s3.bucket, Key: key });
  const put = async (key: string, body: Buffer): Promise<void> => {
    await client.send(new PutObjectCommand({ ...at(key), Body: body }));
  };
  const remove = async (key: string): Promise<void> => {
    await client.send(new DeleteObjectCommand(at(key)));
  };
  return {
    async change(key, to) {
      const answer = await client.send(new GetObjectCommand(at(key)));
      const body = Buffer.from(await answer.Body!.transformToByteArray());
      if (to === null) await remove(key);
      else await put(key, to(body));
      return () => put(key, body);
    },
    async write(key, body) {
      await put(key, body);
      return () => remove(key);
    },
  };
}
