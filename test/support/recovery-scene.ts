/**
 * What the recovery of one node needs besides its server, whoever runs that: an archive in a directory with one base, a real plan, and the activities
 * that lead from the plan to production, one after the other. Also used by the process in which an activity runs where it is killed, or in a container.
 */
import { chown, mkdir, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { lastCommit } from '../../activities/backup-store/last-commit.js';
import { resolveTarget } from '../../activities/backup-store/resolve-target.js';
import { createJobRunner } from '../../activities/jobs/job-runner.js';
import type { BackupStore } from '../../activities/lib/backup-store.js';
import { withClient } from '../../activities/lib/database.js';
import type { ActivityDeps } from '../../activities/lib/deps.js';
import { runProgramOrFail } from '../../activities/lib/exec.js';
import { dataControl } from '../../activities/postgres/data-control.js';
import { ownerOf, runAsOwner, type Owner } from '../../activities/postgres/data-directory.js';
import { createPlanRecovery } from '../../activities/postgres/plan-recovery.js';
import * as promotion from '../../activities/postgres/promotion/index.js';
import * as sandbox from '../../activities/postgres/sandbox/index.js';
import { serverControl } from '../../activities/postgres/server.js';
import { createRuntimes } from '../../activities/runtime/create-runtimes.js';
import { createSnapshots } from '../../activities/snapshot/create-snapshots.js';
import { configSchema, type Config, type NodeConfig } from '../../config/schema.js';
import type { RecoveryPlan } from '../../shared/contracts/plan.js';
import type { NodeStepInput } from '../../shared/contracts/promotion.js';
import type { SandboxRef } from '../../shared/contracts/sandbox.js';
import { takeFakeBase, type TestArchive } from './archive.js';
import { directoryObjects } from './directory-objects.js';
import { MOVER_STUB } from './mover-stub.js';

/** `address` of the node is the directory of its socket: containers of a test have no network. */
export type Scene = { root: string; node: NodeConfig; sandboxPorts: [number, number] };

/** The archive: the node's archive_command copies to `tmp` and renames into `wal`. */
export function archiveOf({ root }: Scene): string {
  return path.join(root, 'archive');
}

/** The directories of the archive, and the program that fetches from it. */
export async function makeArchive(scene: Scene, owner: Owner): Promise<void> {
  const archive = archiveOf(scene);
  const files = path.join(scene.root, 'files');
  const inside = ['wal', 'tmp'].map((name) => path.join(archive, name));
  for (const dir of [archive, ...inside, files, path.join(files, 'bases'), path.join(scene.root, 'state')]) {
    await mkdir(dir, { recursive: true });
    await chown(dir, owner.uid, owner.gid);
  }
  await symlink(path.join(archive, 'wal'), path.join(files, 'wal'));
  await writeFile(path.join(files, 'mover.js'), MOVER_STUB);
}

function sceneConfig({ root, node, sandboxPorts }: Scene): Config {
  return configSchema.parse({
    version: 1,
    stateDir: path.join(root, 'state'),
    record: { kind: 'directory', path: path.join(root, 'records') },
    environments: {
      shop: {
        postgres: {},
        nodes: [node],
        routing: {
          kind: 'multihost',
          url: 'postgresql://postgres@127.0.0.1:1/postgres?target_session_attrs=read-write',
        },
        backups: { kind: 's3', bucket: 'none', accessKeyId: 'env:NONE_ID', secretAccessKey: 'env:NONE_SECRET' },
        sandbox: { ports: sandboxPorts, sharedBuffers: '16MB' },
        verify: { amcheck: 'heap' },
        checks: [{ name: 'orders are back', sql: 'select count(*) from orders', expect: 1000 }],
      },
    },
  });
}

export function sceneDeps(scene: Scene): ActivityDeps {
  const config = sceneConfig(scene);
  const log = { info: () => undefined, warn: () => undefined };
  const objects = directoryObjects(archiveOf(scene));
  const context = { objects, walPrefix: 'wal/' };
  const store = {
    kind: 'directory',
    resolveTarget: (input) => resolveTarget(context, input),
    lastCommit: (input) => lastCommit(context, input),
    fetchCommand: (spec) => [path.join(scene.root, 'files/mover.js'), spec],
    walPresence: async (name) => ((await objects.head(`wal/${name}`)) === null ? 'missing' : 'found'),
  } as Partial<BackupStore> as BackupStore;
  const unused = (): never => {
    throw new Error('not used by a recovery');
  };
  return {
    config,
    resolveSecret: () => Promise.resolve(''),
    jobs: createJobRunner({ stateDir: config.stateDir, log }),
    store: () => Promise.resolve(store),
    runtime: createRuntimes(config, serverControl),
    routing: unused,
    poolers: () => [],
    pauseGuard: unused,
    containers: unused,
    snapshot: createSnapshots(config, dataControl),
    program: { node: process.execPath, distDir: scene.root, configPath: path.join(scene.root, 'recovery.yaml') },
    log,
  };
}

/** One statement on the node's own server. */
export async function query<Row extends Record<string, unknown>>({ node }: Scene, sql: string): Promise<Row[]> {
  const address = { host: node.address, port: node.port, user: 'postgres', database: 'postgres', password: null };
  return withClient(address, async (client) => (await client.query<Row>(sql)).rows);
}

/** 1,000 orders, a base, a time, and the mistake after it. Returns the time. */
export async function seedAndSpoil(scene: Scene): Promise<string> {
  const { node } = scene;
  await query(scene, "create table orders as select g as id, 'order ' || g as note from generate_series(1, 1000) g");
  await query(scene, 'create extension if not exists amcheck');
  await query(scene, 'create schema pgr');
  await query(scene, 'create table pgr.heartbeat (at timestamptz primary key, source text not null)');
  await query(scene, "insert into pgr.heartbeat values (clock_timestamp(), 'test')");
  const url = `postgresql://postgres@localhost:${String(node.port)}/postgres?host=${node.address}`;
  const cluster = { url, query: (sql: string) => query(scene, sql) };
  const archive = { cluster, objects: directoryObjects(archiveOf(scene)) } as unknown as TestArchive;
  await takeFakeBase(archive, { id: 'b1' });
  const target = path.join(scene.root, 'files/bases/b1');
  const args = [
    '-h',
    node.address,
    '-p',
    String(node.port),
    '-U',
    'postgres',
    '-D',
    target,
    '-X',
    'none',
    '-c',
    'fast',
  ];
  await runProgramOrFail(
    path.join(node.binDir, 'pg_basebackup'),
    [...args, '--no-sync'],
    runAsOwner(await ownerOf(node.dataDir)),
  );
  await query(scene, 'insert into pgr.heartbeat values (clock_timestamp(), $$kept$$)');
  const [row] = await query<{ now: string }>(
    scene,
    `select to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as now`,
  );
  await query(scene, 'delete from orders');
  await query(scene, 'select pg_switch_wal()');
  return row?.now ?? '';
}

export function planFor(scene: Scene, target: string): Promise<RecoveryPlan> {
  return createPlanRecovery(sceneDeps(scene))({
    environment: 'shop',
    host: scene.node.host,
    target: { kind: 'time', value: target },
    requestedAt: new Date(Date.now() + 1000).toISOString(),
  });
}

export function refOf(scene: Scene, name: string): SandboxRef {
  const runId = `${name}-0000-4000-8000-000000000000`;
  return { environment: 'shop', run: `shop/pitr/${name}`, runId, sandbox: name, host: scene.node.host };
}

/** Input of a step of the promotion run. */
export function stepOf({ node }: Scene, plan: RecoveryPlan): NodeStepInput {
  const { name, dataDir, host } = node;
  const expect = { systemIdentifier: plan.systemIdentifier, dataDir, host };
  return { environment: 'shop', node: name, run: 'shop/change', runId: 'dddddddd-4444', expect };
}

type Factory = (deps: ActivityDeps) => (input: never) => Promise<unknown>;

const FACTORIES = {
  prepareSandbox: sandbox.createPrepareSandbox,
  restoreBase: sandbox.createRestoreBase,
  combineIncrementals: sandbox.createCombineIncrementals,
  replayWal: sandbox.createReplayWal,
  verifySandbox: sandbox.createVerifySandbox,
  readSandbox: sandbox.createReadSandbox,
  discardSandbox: sandbox.createDiscardSandbox,
  captureTail: promotion.createCaptureTail,
  fenceNode: promotion.createFenceNode,
  keepOldData: promotion.createKeepOldData,
  returnOldData: promotion.createReturnOldData,
  swapIn: promotion.createSwapIn,
  swapOut: promotion.createSwapOut,
  endRecovery: promotion.createEndRecovery,
  startNode: promotion.createStartNode,
} satisfies Record<string, Factory>;

export type Activity = keyof typeof FACTORIES;

/** Runs one activity by its name. */
export function runActivity(scene: Scene, activity: Activity, input: unknown): Promise<Record<string, unknown>> {
  const create: Factory = FACTORIES[activity];
  return create(sceneDeps(scene))(input as never) as Promise<Record<string, unknown>>;
}
