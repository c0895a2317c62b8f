/** Program `mover`: fetches bases and WAL as a specification says. Runs as a job: see PGR_JOB_DIR in activities/backup-store/base-job.ts. */
import { readFile } from 'node:fs/promises';
import { isMainThread } from 'node:worker_threads';

import { moveBarmanBase } from '../activities/backup-store/barman-cloud/mover.js';
import { createJobReporter, runAsJob } from '../activities/backup-store/base-job.js';
import { runChunkThread } from '../activities/backup-store/chunk-thread.js';
import { moveBase } from '../activities/backup-store/mover.js';
import { readCredentials } from '../activities/backup-store/s3-access.js';
import { JOB_PATIENCE } from '../activities/backup-store/s3-retry.js';
import { createSlimObjects } from '../activities/backup-store/s3-slim.js';
import type { FetchSpec } from '../activities/lib/backup-store.js';
import { environmentOf, storeConfigOf } from '../activities/lib/environment-config.js';
import { createSecretResolver } from '../activities/secrets/resolve-secret.js';
import { loadConfig } from '../config/load.js';
import { otherStore, programArguments } from './program-arguments.js';

async function main(): Promise<number> {
  const { configPath, specPath, jobDir, programPath } = programArguments('mover');
  const reporter = createJobReporter(jobDir);
  return runAsJob(reporter, async () => {
    const spec = JSON.parse(await readFile(specPath, 'utf8')) as FetchSpec;
    const backups = storeConfigOf(environmentOf(await loadConfig(configPath), spec.environment), spec.store);
    if (backups.kind !== 's3' && backups.kind !== 'barman-cloud') throw otherStore(spec.environment, backups.kind);
    const credentials = await readCredentials(backups, createSecretResolver());
    const objects = createSlimObjects(backups, credentials, JOB_PATIENCE);
    if (backups.kind === 'barman-cloud') {
      return moveBarmanBase(spec, { objects, server: backups.server }, { reporter, programPath });
    }
    return moveBase(spec, { objects, walPrefix: backups.walPrefix, reporter, programPath });
  });
}

if (isMainThread) {
  main().then(
    (code) => process.exit(code),
    (error: unknown) => {
      process.stderr.write(`error: ${error instanceof Error ? error.message : String(error)}\n`);
      process.exit(2);
    },
  );
} else {
  void runChunkThread();
}
