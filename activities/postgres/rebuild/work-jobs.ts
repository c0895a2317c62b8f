/** Jobs of a rebuild. Each belongs to one try and never runs twice on what it left; a lost one is told from one that failed. */
import path from 'node:path';

import type { ActivityDeps } from '../../lib/deps.js';
import { jobFailure } from '../../lib/exec-job.js';
import { isFailureOf, stepFailure } from '../../lib/failure.js';
import type { JobProgress, JobResult, JobSpec } from '../../lib/job-runner.js';
import { faultPoint } from '../../lib/fault-points.js';
import { namesIn, runAsOwner, type Owner } from '../data-directory.js';
import { emptyDirectoryArgs } from './commands.js';
import type { RebuildPlace } from './rebuild-place.js';

export type JobEnd =
  { end: 'ok'; result: JobResult } | { end: 'failed'; failure: Error } | { end: 'lost'; failure: Error };

/** Runs a job to its end (or attaches to it), at most once for its id. */
export async function runOnce(
  deps: ActivityDeps,
  spec: JobSpec,
  readProgress: () => Promise<JobProgress | null> = () => Promise.resolve(null),
): Promise<JobEnd> {
  try {
    const until = (): Promise<boolean> => {
      faultPoint('rebuild:copying');
      return Promise.resolve(false);
    };
    const result = await deps.jobs.run({ ...spec, once: true }, { readProgress, until });
    return result.exitCode === 0 ? { end: 'ok', result } : { end: 'failed', failure: jobFailureOf(spec, result) };
  } catch (error) {
    if (isFailureOf(error, 'JobLost')) return { end: 'lost', failure: error };
    throw error;
  }
}

function jobFailureOf(spec: JobSpec, result: JobResult): Error {
  const full = result.logTail.find((line) => /No space left on device|Disk quota exceeded/.test(line));
  if (full === undefined) return jobFailure(spec, result);
  return stepFailure('SpaceMissing', `${path.basename(spec.argv[0] ?? '')} ran out of space: ${full}`);
}

/** Empties a directory of this rebuild; may be repeated, and takes as long as it takes. */
export async function emptyDirectory(
  deps: ActivityDeps,
  place: RebuildPlace,
  dir: string,
  owner: Owner,
): Promise<void> {
  if (![place.workDir, place.oldDir].includes(dir))
    throw stepFailure('Bug', `${dir} is not a directory of this rebuild`);
  // Nothing there, or nothing in it: no job is worth starting.
  if (((await namesIn(dir)) ?? []).length === 0) return;
  const id = place.jobId(`empty-${path.basename(dir).replace(/[^A-Za-z0-9]+/g, '-')}`);
  const spec: JobSpec = { id, argv: ['find', ...emptyDirectoryArgs(dir)], ...runAsOwner(owner) };
  const result = await deps.jobs.run(spec);
  await deps.jobs.forget(id);
  if (result.exitCode !== 0) throw jobFailureOf(spec, result);
}
