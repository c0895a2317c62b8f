/** Program `fetch-databasus-api`: the mover of stores of kind `databasus`. Runs as a job, like `mover`. */
import { readFile } from 'node:fs/promises';

import { createJobReporter, runAsJob } from '../activities/backup-store/base-job.js';
import { fetchFromController } from '../activities/backup-store/databasus-api/fetch.js';
import { LONG } from '../activities/backup-store/databasus-api/patience.js';
import { choiceOf, sessionOf } from '../activities/backup-store/databasus-api/store.js';
import type { FetchSpec } from '../activities/lib/backup-store.js';
import { environmentOf, storeConfigOf } from '../activities/lib/environment-config.js';
import { createSecretResolver } from '../activities/secrets/resolve-secret.js';
import { loadConfig } from '../config/load.js';
import { otherStore, programArguments } from './program-arguments.js';

async function main(): Promise<number> {
  const { configPath, specPath, jobDir } = programArguments('fetch-databasus-api');
  const reporter = createJobReporter(jobDir);
  return runAsJob(reporter, async () => {
    const spec = JSON.parse(await readFile(specPath, 'utf8')) as FetchSpec;
    const backups = storeConfigOf(environmentOf(await loadConfig(configPath), spec.environment), spec.store);
    if (backups.kind !== 'databasus') throw otherStore(spec.environment, backups.kind);
    const session = await sessionOf(backups, createSecretResolver(), LONG);
    return fetchFromController(spec, { session, choice: choiceOf(backups), patience: LONG, reporter });
  });
}

main().then(
  (code) => process.exit(code),
  (error: unknown) => {
    process.stderr.write(`error: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exit(2);
  },
);
