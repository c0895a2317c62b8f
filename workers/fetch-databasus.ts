/** Program `fetch-databasus`: the mover of stores of kind `databasus-bucket`. Runs as a job, like `mover`. */
import { readFile } from 'node:fs/promises';

import { createJobReporter, runAsJob } from '../activities/backup-store/base-job.js';
import { fetchFromBucket } from '../activities/backup-store/databasus/fetch.js';
import { readSecretKey } from '../activities/backup-store/databasus/secret-key.js';
import { locationOf, pinOf } from '../activities/backup-store/databasus/store.js';
import { readCredentials } from '../activities/backup-store/s3-access.js';
import { JOB_PATIENCE } from '../activities/backup-store/s3-retry.js';
import { createSlimObjects } from '../activities/backup-store/s3-slim.js';
import type { FetchSpec } from '../activities/lib/backup-store.js';
import { environmentOf, storeConfigOf } from '../activities/lib/environment-config.js';
import { createSecretResolver } from '../activities/secrets/resolve-secret.js';
import { loadConfig } from '../config/load.js';
import { otherStore, programArguments } from './program-arguments.js';

async function main(): Promise<number> {
  const { configPath, specPath, jobDir } = programArguments('fetch-databasus');
  const reporter = createJobReporter(jobDir);
  return runAsJob(reporter, async () => {
    const spec = JSON.parse(await readFile(specPath, 'utf8')) as FetchSpec;
    const backups = storeConfigOf(environmentOf(await loadConfig(configPath), spec.environment), spec.store);
    if (backups.kind !== 'databasus-bucket') throw otherStore(spec.environment, backups.kind);
    const resolveSecret = createSecretResolver();
    const objects = createSlimObjects(locationOf(backups), await readCredentials(backups, resolveSecret), JOB_PATIENCE);
    const { text: secretKey } = readSecretKey(await resolveSecret(backups.secretKey));
    return fetchFromBucket(spec, { bucket: { objects, secretKey }, pin: pinOf(backups), reporter });
  });
}

main().then(
  (code) => process.exit(code),
  (error: unknown) => {
    process.stderr.write(`error: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exit(2);
  },
);
