/** Program `fetch-pgbackrest`: the mover of stores of kind `pgbackrest`. Runs as a job, like `mover`. */
import { readFile } from 'node:fs/promises';
import { isMainThread } from 'node:worker_threads';

import { createJobReporter, runAsJob } from '../activities/backup-store/base-job.js';
import { runChunkThread } from '../activities/backup-store/chunk-thread.js';
import { movePgbackrestBase } from '../activities/backup-store/pgbackrest/mover.js';
import { stanzaOf } from '../activities/backup-store/pgbackrest/store.js';
import type { FetchSpec } from '../activities/lib/backup-store.js';
import { environmentOf, storeConfigOf } from '../activities/lib/environment-config.js';
import { loadConfig } from '../config/load.js';
import { otherStore, programArguments } from './program-arguments.js';

async function main(): Promise<number> {
  const { configPath, specPath, jobDir, programPath } = programArguments('fetch-pgbackrest');
  const reporter = createJobReporter(jobDir);
  return runAsJob(reporter, async () => {
    const spec = JSON.parse(await readFile(specPath, 'utf8')) as FetchSpec;
    const backups = storeConfigOf(environmentOf(await loadConfig(configPath), spec.environment), spec.store);
    if (backups.kind !== 'pgbackrest') throw otherStore(spec.environment, backups.kind);
    const processMax = backups.processMax ?? null;
    return movePgbackrestBase(spec, stanzaOf(backups, spec.owner), { reporter, programPath, processMax });
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
