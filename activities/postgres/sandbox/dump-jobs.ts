/** The restores of a dump into a sandbox: one job for each try, because none may go on with what another one left half. */
import path from 'node:path';

import { jobIdFor } from '../../../shared/ids.js';
import type { JobRunner } from '../../lib/job-runner.js';
import { readTextIfThere } from '../data-directory.js';
import type { SandboxPlace } from './place.js';

/** `spent`: its job ended without a whole database, so the cluster is made again before the next one begins. */
export type DumpAttempt = { number: number; state: 'fresh' | 'spent' };

export function attemptFileOf(place: SandboxPlace): string {
  return path.join(place.dir, 'attempt.json');
}

export function dumpJobId(place: SandboxPlace, attempt: number): string {
  return jobIdFor(place.ref.runId, `restore-dump-${String(attempt)}`);
}

/** The attempt that the sandbox is at, null before the first one. */
export async function readAttempt(place: SandboxPlace): Promise<DumpAttempt | null> {
  const text = await readTextIfThere(attemptFileOf(place));
  return text === null ? null : (JSON.parse(text) as DumpAttempt);
}

/** Ends the restore of a dump that may still be at work here. */
export async function endDumpJobs(jobs: JobRunner, place: SandboxPlace): Promise<void> {
  const attempt = await readAttempt(place);
  if (attempt !== null) await jobs.end(dumpJobId(place, attempt.number));
}
