/** A lost controller: its config, its key in escrow, and an engine whose containers are stand-ins. Nothing is made yet. */
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { stringify } from 'yaml';

import { fingerprintOf } from '../../activities/backup-store/databasus-controller/key-file.js';
import type { ControllerDeps } from '../../activities/backup-store/databasus-controller/reach.js';
import { pollUntil } from '../../activities/lib/poll.js';
import { createEngine } from '../../activities/runtime/docker-engine.js';
import { createSecretResolver } from '../../activities/secrets/resolve-secret.js';
import { loadConfig } from '../../config/load.js';
import type { ProvenKey } from '../../shared/contracts/controller.js';
import { bundleInto } from './bundle.js';
import { readState, SYSTEM } from './first-run-controller.js';
import { freePort } from './ports.js';

export const ENVIRONMENT = 'shop';
export const KEY = '0f6b1c2a-7d3e-4b5f-8a9c-1d2e3f4a5b6c9c8b7a6f-5e4d-4c3b-9a2f-1e0d9c8b7a6f';
const SECRETS = {
  key: KEY,
  admin: 'the admin password',
  restore: 'the restore password',
  operator: 'the operator password',
  access: 'AKIATEST',
  secret: 's3-secret-of-a-test',
  source: 'replication password',
};

export type ControllerScene = {
  dir: string;
  dataDir: string;
  configFile: string;
  deps: ControllerDeps;
  key: ProvenKey;
  /** Every secret, for proving that none is said. */
  secrets: string[];
  /** Writes the config anew with other values in its section `controller`. */
  change(more: Record<string, unknown>, bucket?: Record<string, unknown>): Promise<void>;
  state(): ReturnType<typeof readState>;
  /** Ends the stand-in, as a crash would. */
  kill(): Promise<void>;
  destroy(): Promise<void>;
};

/** Dependencies of the activities, from a config file. */
export async function controllerDeps(configFile: string): Promise<ControllerDeps> {
  return {
    config: await loadConfig(configFile),
    resolveSecret: createSecretResolver(),
    containers: createEngine,
    program: { node: process.execPath, distDir: '/nowhere', configPath: configFile },
  };
}

/** `PATH` has the stand-in of docker first until `destroy`, unless a real engine is used. */
export async function makeControllerScene(hasEngine = false): Promise<ControllerScene> {
  const dir = await mkdtemp(path.join(tmpdir(), 'pgr-controller-'));
  const before = process.env['PATH'];
  await bundleInto(dir, ['test/support/controller-program.ts', 'test/support/fake-docker.ts']);
  await mkdir(path.join(dir, 'bin'));
  await writeFile(path.join(dir, 'bin/docker'), `#!/bin/sh\nexec ${process.execPath} ${dir}/fake-docker.cjs "$@"\n`);
  await chmod(path.join(dir, 'bin/docker'), 0o755);
  if (!hasEngine) process.env['PATH'] = `${dir}/bin:${before ?? ''}`;
  for (const [name, text] of Object.entries(SECRETS)) await writeFile(path.join(dir, name), text, { mode: 0o600 });
  const port = await freePort();
  const dataDir = path.join(dir, 'databasus-data');
  const configFile = path.join(dir, 'recovery.yaml');
  const write = async (more: Record<string, unknown>, bucket: Record<string, unknown>): Promise<void> =>
    writeFile(configFile, stringify(configOf(dir, dataDir, port, more, bucket)));
  await write({}, {});
  const scene: ControllerScene = {
    dir,
    dataDir,
    configFile,
    deps: await controllerDeps(configFile),
    key: { fingerprint: fingerprintOf(KEY), store: 'bucket', checks: [], isProven: true },
    secrets: Object.values(SECRETS),
    async change(more, bucket = {}) {
      await write(more, bucket);
      scene.deps = await controllerDeps(configFile);
    },
    state: () => readState(dataDir),
    kill: () => killAll(dir),
    async destroy() {
      process.env['PATH'] = before;
      await killAll(dir);
      await rm(dir, { recursive: true, force: true, maxRetries: 3 });
    },
  };
  return scene;
}

async function killAll(dir: string): Promise<void> {
  const text = await readFile(path.join(dir, 'containers.json'), 'utf8').catch(() => '[]');
  for (const { pid } of JSON.parse(text) as { pid: number | null }[]) {
    if (pid === null) continue;
    const isOurs = async (): Promise<boolean> =>
      (await readFile(`/proc/${String(pid)}/cmdline`, 'utf8').catch(() => '')).includes(dir);
    if (!(await isOurs())) continue;
    process.kill(pid, 'SIGKILL');
    await pollUntil(async () => ((await isOurs()) ? null : true), { timeoutMs: 10_000 });
  }
}

function configOf(
  dir: string,
  dataDir: string,
  port: number,
  more: Record<string, unknown>,
  bucket: Record<string, unknown>,
): unknown {
  const secret = (name: keyof typeof SECRETS): string => `file:${dir}/${name}`;
  const keys = { accessKeyId: secret('access'), secretAccessKey: secret('secret') };
  const controller = {
    host: 'chicago',
    image: 'databasus/databasus:v3.49.0',
    dockerHost: dir,
    dataDir,
    publish: `127.0.0.1:${String(port)}`,
    admin: { password: secret('admin') },
    workspace: 'prod',
    bucket: 'bucket',
    storage: { name: 'r2', ...keys },
    databases: [{ name: 'Cluster PITR', host: '10.0.0.1', user: 'replicator', password: secret('source') }],
    ...more,
  };
  const backups = {
    kind: 'databasus',
    url: `http://127.0.0.1:${String(port)}`,
    email: 'restore@example.com',
    password: secret('restore'),
    operator: { email: 'pgr@example.com', password: secret('operator') },
    systemIdentifier: SYSTEM,
    controller,
  };
  const node = { name: 'dallas', host: 'dallas', address: '10.0.0.1', port: 5432, runtime: { kind: 'process' } };
  return {
    version: 1,
    stateDir: path.join(dir, 'state'),
    record: { kind: 'directory', path: path.join(dir, 'record') },
    environments: {
      [ENVIRONMENT]: {
        postgres: {},
        nodes: [{ ...node, dataDir: '/srv/pg/data', binDir: '/usr/lib/postgresql/18/bin' }],
        routing: { kind: 'multihost', url: 'postgresql://10.0.0.1/shop?target_session_attrs=read-write' },
        backups,
        otherBackups: {
          bucket: {
            ...{ kind: 'databasus-bucket', endpoint: 'http://127.0.0.1:1', bucket: 'backups', prefix: 'pg' },
            ...keys,
            secretKey: secret('key'),
            ...bucket,
          },
        },
      },
    },
  };
}
