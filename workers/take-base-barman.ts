/** Program `take-base-barman`: has Barman take a backup of a running server. Runs as a job. The password of the node comes from PGPASSWORD. */
import { readFile } from 'node:fs/promises';

import { createBarman } from '../activities/backup-store/barman/run.js';
import { takeBarmanBackup } from '../activities/backup-store/barman/take-base.js';
import { createPlaces } from '../activities/backup-store/barman/places.js';
import { createJobReporter, runAsJob } from '../activities/backup-store/base-job.js';
import type { TakeBaseOptions } from '../activities/lib/backup-store.js';
import { environmentOf } from '../activities/lib/environment-config.js';
import { loadConfig } from '../config/load.js';
import { otherStore, programArguments } from './program-arguments.js';

async function main(): Promise<number> {
  const { configPath, environment, specPath, jobDir } = programArguments('take-base-barman');
  return runAsJob(createJobReporter(jobDir), async () => {
    const spec = JSON.parse(await readFile(specPath, 'utf8')) as TakeBaseOptions;
    const { backups } = environmentOf(await loadConfig(configPath), environment);
    if (backups.kind !== 'barman') throw otherStore(environment, backups.kind);
    const password = spec.connection.password ?? process.env['PGPASSWORD'] ?? null;
    const options = { ...spec, connection: { ...spec.connection, password } };
    return takeBarmanBackup(createPlaces(createBarman(backups)), options);
  });
}

main().then(
  (code) => process.exit(code),
  (error: unknown) => {
    process.stderr.write(`error: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exit(2);
  },
);
