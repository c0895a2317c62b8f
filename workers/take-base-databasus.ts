/** Program `take-base-databasus`: has the controller of a store of kind `databasus` take a base. Runs as a job, like `take-base`. */
import { readFile } from 'node:fs/promises';

import { createJobReporter, runAsJob } from '../activities/backup-store/base-job.js';
import { LONG } from '../activities/backup-store/databasus-api/patience.js';
import { choiceOf, operatorSessionOf } from '../activities/backup-store/databasus-api/store.js';
import { takeBaseOfController } from '../activities/backup-store/databasus-api/take-base.js';
import type { TakeBaseOptions } from '../activities/lib/backup-store.js';
import { environmentOf } from '../activities/lib/environment-config.js';
import { createSecretResolver } from '../activities/secrets/resolve-secret.js';
import { loadConfig } from '../config/load.js';
import { otherStore, programArguments } from './program-arguments.js';

async function main(): Promise<number> {
  const { configPath, environment, specPath, jobDir } = programArguments('take-base-databasus');
  const reporter = createJobReporter(jobDir);
  return runAsJob(reporter, async () => {
    const options = JSON.parse(await readFile(specPath, 'utf8')) as TakeBaseOptions;
    const { backups } = environmentOf(await loadConfig(configPath), environment);
    if (backups.kind !== 'databasus') throw otherStore(environment, backups.kind);
    const session = await operatorSessionOf(backups, createSecretResolver(), LONG);
    return takeBaseOfController(options, { session, choice: choiceOf(backups), reporter });
  });
}

main().then(
  (code) => process.exit(code),
  (error: unknown) => {
    process.stderr.write(`error: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exit(2);
  },
);
