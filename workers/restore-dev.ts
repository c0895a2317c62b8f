/** Program `restore-dev`: one phase of the refresh of a developer's database. Runs as a job. The password of the server comes from PGPASSWORD. */
import { readFile } from 'node:fs/promises';

import { createJobReporter, runAsJob } from '../activities/backup-store/base-job.js';
import type { PhaseSpec } from '../activities/postgres/dev/phase.js';
import { restoreDevProgram } from '../activities/postgres/dev/program.js';

async function main(): Promise<number> {
  const [specPath] = process.argv.slice(2);
  const jobDir = process.env['PGR_JOB_DIR'];
  if (specPath === undefined || jobDir === undefined) throw new Error('usage: restore-dev SPEC, as a job');
  const reporter = createJobReporter(jobDir);
  return runAsJob(reporter, async () => {
    const spec = JSON.parse(await readFile(specPath, 'utf8')) as PhaseSpec;
    const report = (progress: Parameters<typeof reporter.progress>[0]): void => {
      reporter.progress(progress);
    };
    return restoreDevProgram(spec, report, process.env['PGPASSWORD'] ?? null);
  });
}

main().then(
  (code) => process.exit(code),
  (error: unknown) => {
    process.stderr.write(`error: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exit(2);
  },
);
