/** Program `backup-pgbackrest`: takes a base with pgBackRest. Runs as a job, like `take-base`. */
import { readFile } from 'node:fs/promises';

import { createJobReporter, runAsJob } from '../activities/backup-store/base-job.js';
import { backupProgramOf, stanzaOf } from '../activities/backup-store/pgbackrest/store.js';
import { takePgbackrestBase } from '../activities/backup-store/pgbackrest/take-base.js';
import { pgbackrestUser } from '../activities/backup-store/pgbackrest/user.js';
import type { TakeBaseOptions } from '../activities/lib/backup-store.js';
import { environmentOf } from '../activities/lib/environment-config.js';
import { loadConfig } from '../config/load.js';
import { otherStore, programArguments } from './program-arguments.js';

async function main(): Promise<number> {
  const { configPath, environment, specPath, jobDir } = programArguments('backup-pgbackrest');
  const reporter = createJobReporter(jobDir);
  return runAsJob(reporter, async () => {
    const options = JSON.parse(await readFile(specPath, 'utf8')) as TakeBaseOptions;
    const { backups, nodes } = environmentOf(await loadConfig(configPath), environment);
    if (backups.kind !== 'pgbackrest') throw otherStore(environment, backups.kind);
    const runAs = await pgbackrestUser(nodes.map(({ dataDir }) => dataDir));
    const source = stanzaOf(backups, runAs);
    return takePgbackrestBase(options, { source, program: backupProgramOf(backups, runAs), reporter });
  });
}

main().then(
  (code) => process.exit(code),
  (error: unknown) => {
    process.stderr.write(`error: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exit(2);
  },
);
