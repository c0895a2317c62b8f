/** The only place where real clients are constructed. */
import path from 'node:path';
import { pino } from 'pino';

import { createRecordStore } from '../activities/audit/create-record-store.js';
import type { RecordStore } from '../activities/audit/record-store.js';
import { createBarmanCloudStore } from '../activities/backup-store/barman-cloud/store.js';
import { createBarmanStore } from '../activities/backup-store/barman/store.js';
import { createBucketStore } from '../activities/backup-store/databasus/store.js';
import { createPgbackrestStore } from '../activities/backup-store/pgbackrest/store.js';
import { createControllerStore } from '../activities/backup-store/databasus-api/store.js';
import { createDumpSource } from '../activities/backup-store/dump-sources/create-dump-source.js';
import { createS3Store } from '../activities/backup-store/s3-store.js';
import { createJobRunner } from '../activities/jobs/job-runner.js';
import type { BackupStore } from '../activities/lib/backup-store.js';
import type { ActivityDeps } from '../activities/lib/deps.js';
import { dumpSourceOf, environmentOf, storeConfigOf } from '../activities/lib/environment-config.js';
import { dataControl } from '../activities/postgres/data-control.js';
import { serverControl } from '../activities/postgres/server.js';
import { createSecretMask, type SecretMask } from '../activities/lib/secret-mask.js';
import { createPoolers } from '../activities/pooler/create-poolers.js';
import { createPauseGuards } from '../activities/pooler/pause-guard.js';
import { createRouting } from '../activities/routing/create-routing.js';
import { createEngine } from '../activities/runtime/docker-engine.js';
import { createRuntimes } from '../activities/runtime/create-runtimes.js';
import { createSecretResolver } from '../activities/secrets/resolve-secret.js';
import { createSnapshots } from '../activities/snapshot/create-snapshots.js';
import { loadConfig } from '../config/load.js';
import { MAIN_STORE, type Config, type StoreConfig } from '../config/schema.js';

export type WorkerDeps = { activities: ActivityDeps; records: RecordStore; mask: SecretMask };

/**
 * Everything that a worker or one of its programs needs, from a config file.
 * @param distDir directory of the built programs (`dist/`)
 */
export async function createDeps(configPath: string, distDir: string): Promise<WorkerDeps> {
  const config = await loadConfig(configPath);
  const mask = createSecretMask();
  const log = pino({ base: { pid: process.pid } }, { write: (line: string) => process.stdout.write(mask.mask(line)) });
  const resolveSecret = createSecretResolver({ mask });
  const program = { node: process.execPath, distDir, configPath: path.resolve(configPath) };
  const jobs = createJobRunner({ stateDir: config.stateDir, log });
  const activities: ActivityDeps = {
    config,
    resolveSecret,
    jobs,
    store: createStores(config, resolveSecret, program),
    dumpSource: (environment, source) => createDumpSource(dumpSourceOf(config, environment, source), resolveSecret),
    runtime: createRuntimes(config, serverControl),
    containers: createEngine,
    routing: createRouting(config, resolveSecret),
    poolers: createPoolers(config, resolveSecret),
    pauseGuard: createPauseGuards({ config, resolveSecret, program }),
    snapshot: createSnapshots(config, dataControl),
    program,
    log,
  };
  return { activities, records: await createRecordStore(config.record, resolveSecret), mask };
}

function createStores(
  config: Config,
  resolveSecret: ActivityDeps['resolveSecret'],
  program: ActivityDeps['program'],
): ActivityDeps['store'] {
  const stores = new Map<string, Promise<BackupStore>>();
  return async (environment, name = MAIN_STORE) => {
    const key = `${environment}/${name}`;
    const known = stores.get(key);
    if (known) return known;
    const own = environmentOf(config, environment);
    const created = createStore(storeConfigOf(own, name), {
      environment,
      resolveSecret,
      program,
      stateDir: config.stateDir,
      dataDirs: own.nodes.map(({ dataDir }) => dataDir),
    });
    stores.set(key, created);
    // A store that could not be made (a secret was not readable) is tried again by the next caller.
    created.catch(() => stores.delete(key));
    return created;
  };
}

type StoreInput = Pick<ActivityDeps, 'resolveSecret' | 'program'> & {
  environment: string;
  stateDir: string;
  dataDirs: string[];
};

/** The store of a kind. */
function createStore(config: StoreConfig, input: StoreInput): Promise<BackupStore> {
  switch (config.kind) {
    case 'barman-cloud':
      return createBarmanCloudStore({ ...input, config });
    case 'barman':
      return Promise.resolve(createBarmanStore({ ...input, config }));
    case 'databasus-bucket':
      return createBucketStore({ ...input, config });
    case 'pgbackrest':
      return createPgbackrestStore({ ...input, config });
    case 'databasus':
      return createControllerStore({ ...input, config });
    case 's3':
    default:
      return createS3Store({ ...input, config });
  }
}
