/** Program `restore-dump`: restores a dump into a new cluster. Runs as a job. The password of a source server comes from PGPASSWORD. */
import { readFile } from 'node:fs/promises';

import { createJobReporter, runAsJob } from '../activities/backup-store/base-job.js';
import { restoreDumpProgram, type RestoreSpec } from '../activities/postgres/dump/restore-program.js';

async function main(): Promise<number> {
  const [specPath] = process.argv.slice(2);
  const jobDir = process.env['PGR_JOB_DIR'];
  if (specPath === undefined || jobDir === undefined) throw new Error('usage: restore-dump SPEC, as a job');
  const reporter = createJobReporter(jobDir);
  return runAsJob(reporter, async () => {
    const spec = JSON.parse(await readFile(specPath, 'utf8')) as RestoreSpec;
    return restoreDumpProgram(spec, reporter, process.env['PGPASSWORD'] ?? null);
  });
}

main().then(
  (code) => process.exit(code),
  (error: unknown) => {
    process.stderr.write(`error: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exit(2);
  },
);
