/** Program `fetch-barman`: the mover of stores of kind `barman`. Runs as a job, like `mover`. */
import { readFile } from 'node:fs/promises';
import { isMainThread } from 'node:worker_threads';

import { fetchFromBarman, release } from '../activities/backup-store/barman/fetch.js';
import { createBarman } from '../activities/backup-store/barman/run.js';
import { createJobReporter, runAsJob } from '../activities/backup-store/base-job.js';
import { runChunkThread } from '../activities/backup-store/chunk-thread.js';
import type { FetchSpec } from '../activities/lib/backup-store.js';
import { environmentOf, storeConfigOf } from '../activities/lib/environment-config.js';
import { loadConfig } from '../config/load.js';
import { otherStore, programArguments } from './program-arguments.js';

/** What a shell reports of a program that ended by TERM. */
const ENDED_BY_TERM = 143;

async function main(): Promise<number> {
  const { configPath, specPath, jobDir, programPath } = programArguments('fetch-barman');
  const reporter = createJobReporter(jobDir);
  return runAsJob(reporter, async () => {
    const spec = JSON.parse(await readFile(specPath, 'utf8')) as FetchSpec;
    const backups = storeConfigOf(environmentOf(await loadConfig(configPath), spec.environment), spec.store);
    if (backups.kind !== 'barman') throw otherStore(spec.environment, backups.kind);
    const barman = createBarman(backups);
    const ending: Promise<void>[] = [];
    // Everything of this job is told to end, also a release that is under way: it is done again, and waited for. The listener stays: a library that finds
    // itself the last one would end the process.
    process.on('SIGTERM', () => {
      if (ending.length === 0) ending.push(release(barman, spec).finally(() => process.exit(ENDED_BY_TERM)));
    });
    try {
      return await fetchFromBarman(spec, barman, { reporter, programPath });
    } finally {
      await Promise.all(ending);
    }
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
