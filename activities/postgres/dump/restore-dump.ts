/**
 * Restores the dump into the new cluster, as a job that outlives the worker. A half-restored cluster is never gone on with: a job that ended without
 * its completion mark is followed by a new cluster and a new job.
 * On a retry: a job that runs is attached to, a restore that came to its end is reported.
 */
import type { DumpPlan, DumpStepInput, RestoreDumpResult } from '../../../shared/contracts/dump.js';
import { readBootId } from '../../lib/boot-id.js';
import type { ActivityDeps } from '../../lib/deps.js';
import { jobFailure } from '../../lib/exec-job.js';
import { programEnvironment } from '../../lib/exec-secrets.js';
import { isFailureOf } from '../../lib/failure.js';
import { faultPoint } from '../../lib/fault-points.js';
import type { JobSpec } from '../../lib/job-runner.js';
import { ownerOf, readTextIfThere, replaceFileUnflushed } from '../data-directory.js';
import { attemptFileOf, dumpJobId, readAttempt, type DumpAttempt } from '../sandbox/dump-jobs.js';
import { changeMarker, refuseUnlessThrowaway, requireMarker } from '../sandbox/marker.js';
import { placeOf, type SandboxPlace } from '../sandbox/place.js';
import { dumpPlaceOf } from './dump-place.js';
import { dropCluster, makeCluster, setPassword, startCluster } from './new-cluster.js';
import type { RestoredMark, RestoreSpec } from './restore-program.js';

const FAULT_BEFORE_JOB = 'restore-dump:before-job';
const FAULT_JOB_RUNNING = 'restore-dump:job-running';
/** A job that is killed again and again (memory) needs a person. */
const MOST_LOST = 3;

type Deps = Pick<ActivityDeps, 'config' | 'runtime' | 'resolveSecret' | 'jobs' | 'program'>;

/** Throws what the restore found: CommandFailed with the first error, BackupCorrupt, CredentialsRefused, DatabaseUnavailable … */
export function createRestoreDump(deps: Deps) {
  return async function restoreDump({ ref, plan }: DumpStepInput): Promise<RestoreDumpResult> {
    const place = placeOf(deps.config, ref);
    refuseUnlessThrowaway(place, await requireMarker(place));
    const before = await readRestored(place, plan);
    if (before !== null) return { ...before.result, outcome: 'already-restored' };
    for (let lost = 1; ; lost += 1) {
      const attempt = await freshAttempt(deps, place, plan);
      try {
        await runAttempt(deps, place, plan, attempt);
        const mark = await readRestored(place, plan);
        if (mark !== null) {
          await changeMarker(place, { state: 'restored' });
          return mark.result;
        }
      } catch (error) {
        if (!isFailureOf(error, 'JobLost') || lost >= MOST_LOST) throw error;
      }
      await spend(place, attempt);
    }
  };
}

/** What the completion mark says; null while the cluster is not whole, or when it is whole of another plan. */
export async function readRestored(place: SandboxPlace, plan: Pick<DumpPlan, 'hash'>): Promise<RestoredMark | null> {
  const text = await readTextIfThere(dumpPlaceOf(place).restored);
  if (text === null) return null;
  const mark = JSON.parse(text) as RestoredMark;
  return mark.planHash === plan.hash ? mark : null;
}

/** The number of the attempt whose cluster nobody restored into yet, or whose job is at it. */
async function freshAttempt(deps: Deps, place: SandboxPlace, plan: DumpPlan): Promise<number> {
  const known = (await readAttempt(place)) ?? (await writeAttempt(place, { number: 1, state: 'fresh' }));
  const marker = await requireMarker(place);
  const boot = await readBootId();
  if (known.state === 'fresh' && marker.boot === boot) {
    await startCluster(deps, place, plan);
    return known.number;
  }
  await deps.jobs.end(dumpJobId(place, known.number));
  await dropCluster(deps, place, marker);
  await changeMarker(place, { boot, state: 'prepared' });
  await makeCluster(place, plan);
  await setPassword(deps, place, await startCluster(deps, place, plan));
  const { number } = await writeAttempt(place, { number: known.number + 1, state: 'fresh' });
  return number;
}

async function writeAttempt(place: SandboxPlace, attempt: DumpAttempt): Promise<DumpAttempt> {
  await replaceFileUnflushed(attemptFileOf(place), `${JSON.stringify(attempt)}\n`, await ownerOf(place.dir));
  return attempt;
}

async function spend(place: SandboxPlace, number: number): Promise<void> {
  await writeAttempt(place, { number, state: 'spent' });
}

async function runAttempt(deps: Deps, place: SandboxPlace, plan: DumpPlan, attempt: number): Promise<void> {
  const job = await prepareJob(deps, place, plan, attempt);
  faultPoint(FAULT_BEFORE_JOB);
  const result = await deps.jobs.run(job, {
    until: () => {
      faultPoint(FAULT_JOB_RUNNING);
      return Promise.resolve(false);
    },
  });
  if (result.exitCode === 0) return;
  await spend(place, attempt);
  throw jobFailure(job, result);
}

async function prepareJob(deps: Deps, place: SandboxPlace, plan: DumpPlan, attempt: number): Promise<JobSpec> {
  const { port, socketDir } = await requireMarker(place);
  const { spec: specPath, restored, dumpDir } = dumpPlaceOf(place);
  const { user } = place.environment.postgres;
  const spec: RestoreSpec = {
    plan,
    binDir: place.binDir,
    server: { socketDir, port, user },
    dumpDir,
    restored,
    attempt,
  };
  await replaceFileUnflushed(specPath, `${JSON.stringify(spec)}\n`, await ownerOf(place.dir));
  const reference = plan.source.kind === 'server' ? plan.source.password : null;
  const password = reference === null ? {} : { PGPASSWORD: await deps.resolveSecret(reference) };
  return {
    id: dumpJobId(place, attempt),
    argv: [deps.program.node, `${deps.program.distDir}/restore-dump.cjs`, specPath],
    env: { ...programEnvironment({}), ...password },
    once: true,
  };
}
