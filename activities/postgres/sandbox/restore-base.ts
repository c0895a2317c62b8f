/**
 * Starts the transfer of base and WAL and returns when the bases are there; the WAL goes on coming by itself.
 * On a retry: the transfer that runs is attached to, one that ended is read, one that died goes on where it was.
 */
import { readFile, rm } from 'node:fs/promises';
import path from 'node:path';

import type { RecoveryPlan } from '../../../shared/contracts/plan.js';
import type { RestoreBaseResult, RestoredBase, SandboxStepInput } from '../../../shared/contracts/sandbox.js';
import { planHashOf } from '../../../shared/plan-hash.js';
import { fetchStateFileOf, type FetchedBoundary } from '../../lib/backup-store.js';
import { readBootId } from '../../lib/boot-id.js';
import type { ActivityDeps } from '../../lib/deps.js';
import { runJobOrFail } from '../../lib/exec-job.js';
import { stepFailure } from '../../lib/failure.js';
import { faultPoint } from '../../lib/fault-points.js';
import type { JobResult } from '../../lib/job-runner.js';
import { namesIn, ownerOf, pathExists, replaceFile } from '../data-directory.js';
import { baseDoneFile, fetchJobId, prepareFetchJob } from './fetch-job.js';
import { refuseNearData } from './guard.js';
import { changeMarker, refuseUnlessThrowaway, requireMarker, tainted } from './marker.js';
import { baseDirOf, placeOf, type SandboxPlace } from './place.js';

const FAULT_TRANSFER_RUNNING = 'restore-base:transferring';

/** Throws what the mover found: BackupCorrupt, WalCorrupt, StoreUnavailable, CredentialsRefused, SpaceMissing … */
export function createRestoreBase(deps: Pick<ActivityDeps, 'config' | 'jobs' | 'store' | 'program'>) {
  return async function restoreBase({ ref, plan }: SandboxStepInput): Promise<RestoredBase> {
    const place = placeOf(deps.config, ref);
    const before = await requireMarker(place);
    refuseUnlessThrowaway(place, before);
    await refuseNearData(deps.config, place.dir);
    if (before.boot !== (await readBootId())) await startOver(deps, place, plan);
    const job = await prepareFetchJob(deps, place, plan);
    const doneFile = baseDoneFile(deps.jobs.directory(job.id));
    const result = await runJobOrFail(deps.jobs, job, {
      until: async () => {
        faultPoint(FAULT_TRANSFER_RUNNING);
        // Where the boundary is found in the WAL, all of it has to be here.
        return plan.boundaryAfterFetch !== true && (await pathExists(doneFile));
      },
    });
    const found = plan.boundaryAfterFetch === true ? await completePlan(place, plan, result.output) : null;
    const marker = await requireMarker(place);
    const { baseProof } = await deps.store(ref.environment, plan.store);
    if (marker.state === 'prepared') await changeMarker(place, { state: 'restored', baseProof });
    const numbers = result.running ? await runningNumbers(deps.jobs.directory(job.id)) : result.output;
    return { ...restoreResult(plan, result, numbers), ...(found === null ? {} : { plan: found }) };
  };
}

/** The plan with the boundary that the job found. The sandbox is of this plan from now on; another attempt finds the same. */
async function completePlan(place: SandboxPlace, plan: RecoveryPlan, output: unknown): Promise<RecoveryPlan> {
  const { resolved } = (isObject(output) ? output : {}) as Partial<FetchedBoundary>;
  if (resolved === undefined) throw stepFailure('Bug', 'the transfer ended without the boundary that it was to find');
  const warnings = [...new Set([...plan.warnings, ...resolved.warnings])];
  const found: RecoveryPlan = { ...plan, ...resolved, minimumSettings: plan.minimumSettings, warnings };
  delete found.boundaryAfterFetch;
  found.hash = planHashOf(found);
  await replaceFile(place.planFile, `${JSON.stringify(found)}\n`, await ownerOf(place.dir));
  await changeMarker(place, { planHash: found.hash });
  return found;
}

/**
 * The host went down since: what had been fetched was not flushed, so files may be holes, and the notes of what is finished may be newer than
 * the data. All of it is fetched again.
 */
async function startOver(
  deps: Pick<ActivityDeps, 'jobs'>,
  place: SandboxPlace,
  { baseChain }: SandboxStepInput['plan'],
): Promise<void> {
  if (await pathExists(place.dataDir)) throw tainted(place, 'the host restarted before its data were on disk');
  const job = fetchJobId(place);
  await deps.jobs.end(job);
  await rm(baseDoneFile(deps.jobs.directory(job)), { force: true });
  for (const [index] of baseChain.entries()) {
    const dir = baseDirOf(place, index);
    await rm(dir, { recursive: true, force: true });
    await rm(fetchStateFileOf(dir), { force: true });
  }
  for (const name of (await namesIn(place.walDir)) ?? []) await rm(path.join(place.walDir, name), { force: true });
  await rm(place.walComplete, { force: true });
  await changeMarker(place, { state: 'prepared', boot: await readBootId() });
}

/** Numbers of the job where it left some, else those of the plan. */
function restoreResult(plan: SandboxStepInput['plan'], job: JobResult, output: unknown): RestoreBaseResult {
  const numbers = isObject(output) ? output : {};
  const numberAt = (name: keyof RestoreBaseResult, otherwise: number): number => {
    const value = numbers[name];
    return typeof value === 'number' ? value : otherwise;
  };
  return {
    baseBytes: numberAt('baseBytes', plan.fetch.baseBytes),
    walBytes: numberAt('walBytes', plan.fetch.walBytes),
    fetchedBytes: numberAt('fetchedBytes', 0),
    seconds: numberAt('seconds', job.seconds),
    files: numberAt('files', 0),
    chunksVerified: numberAt('chunksVerified', 0),
  };
}

/** A transfer that goes on has told its bytes so far, and perhaps the numbers of its bases. */
async function runningNumbers(jobDir: string): Promise<object> {
  const done = await readJson(baseDoneFile(jobDir));
  const progress = await readJson(path.join(jobDir, 'progress'));
  const bytes = isObject(progress) && typeof progress['done'] === 'number' ? { fetchedBytes: progress['done'] } : {};
  return { ...bytes, ...(isObject(done) ? done : {}) };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

async function readJson(file: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(file, 'utf8')) as unknown;
  } catch {
    return null;
  }
}
