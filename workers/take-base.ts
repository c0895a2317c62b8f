/** Program `take-base`: takes a base of a running server and stores it. Runs as a job. The password comes from PGPASSWORD. */
import { readFile } from 'node:fs/promises';
import { isMainThread } from 'node:worker_threads';

import { createJobReporter, runAsJob } from '../activities/backup-store/base-job.js';
import { runChunkThread } from '../activities/backup-store/chunk-thread.js';
import { compressionOf } from '../activities/backup-store/codec.js';
import { readCredentials } from '../activities/backup-store/s3-access.js';
import { createObjectStore } from '../activities/backup-store/s3-objects.js';
import { JOB_PATIENCE } from '../activities/backup-store/s3-retry.js';
import { takeBase } from '../activities/backup-store/take-base.js';
import type { TakeBaseOptions } from '../activities/lib/backup-store.js';
import { environmentOf } from '../activities/lib/environment-config.js';
import { createSecretResolver } from '../activities/secrets/resolve-secret.js';
import { loadConfig } from '../config/load.js';
import { otherStore, programArguments } from './program-arguments.js';

async function main(): Promise<number> {
  const { configPath, environment, specPath, jobDir, programPath } = programArguments('take-base');
  const reporter = createJobReporter(jobDir);
  return runAsJob(reporter, async () => {
    const spec = JSON.parse(await readFile(specPath, 'utf8')) as TakeBaseOptions;
    const { backups } = environmentOf(await loadConfig(configPath), environment);
    if (backups.kind !== 's3') throw otherStore(environment, backups.kind);
    const credentials = await readCredentials(backups, createSecretResolver());
    const objects = createObjectStore(backups, credentials, JOB_PATIENCE);
    const password = spec.connection.password ?? process.env['PGPASSWORD'] ?? null;
    const options = { ...spec, connection: { ...spec.connection, password } };
    return takeBase(options, { objects, compression: compressionOf(backups.compression), reporter, programPath });
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
