/**
 * Makes the data directory out of the bases: a rename for a full one, pg_combinebackup for a chain, proven by pg_verifybackup while
 * nobody has touched the result. Writes only inside the sandbox. On a retry: a finished data directory is reported, a half-made one is
 * made again.
 */
import { chmod, rename, rm } from 'node:fs/promises';
import path from 'node:path';

import type { CombineIncrementalsResult, SandboxStepInput } from '../../../shared/contracts/sandbox.js';
import { jobIdFor } from '../../../shared/ids.js';
import { readBootId } from '../../lib/boot-id.js';
import type { ActivityDeps } from '../../lib/deps.js';
import { jobFailure, runJobOrFail } from '../../lib/exec-job.js';
import { stepFailure } from '../../lib/failure.js';
import { faultPoint } from '../../lib/fault-points.js';
import type { JobSpec } from '../../lib/job-runner.js';
import { requireControlData } from '../control-data.js';
import { ownerOf, pathExists, replaceFileUnflushed, runAsOwner } from '../data-directory.js';
import { combineArgs, verifyBackupArgs } from './commands.js';
import { chooseCopyMethod } from './copy-method.js';
import { COMBINE_SCRIPT } from './files.js';
import { refuseNearData, requireSelfContained } from './guard.js';
import { changeMarker, refuseUnlessThrowaway, requireMarker, tainted, type SandboxMarker } from './marker.js';
import { baseDirOf, placeOf, type SandboxPlace } from './place.js';

export const FAULT_COMBINED_BEFORE_RENAME = 'combined-before-rename';
export const FAULT_COMBINED_AFTER_RENAME = 'combined-after-rename';

type Combined = NonNullable<SandboxMarker['combined']>;
type Deps = Pick<ActivityDeps, 'config' | 'jobs'>;

/** Throws BackupCorrupt with what pg_verifybackup found, CommandFailed, IdentityMismatch or MajorMismatch. */
export function createCombineIncrementals(deps: Deps) {
  return async function combineIncrementals({ ref, plan }: SandboxStepInput): Promise<CombineIncrementalsResult> {
    const place = placeOf(deps.config, ref);
    const marker = await requireMarker(place);
    refuseUnlessThrowaway(place, marker);
    if (marker.boot !== (await readBootId())) throw tainted(place, 'the host restarted before its data were on disk');
    await refuseNearData(deps.config, place.dataDir);
    const combined = (await madeAlready(place, marker)) ?? (await makeData(deps, place, plan, marker.baseProof));
    await removeBases(place, plan.baseChain.length);
    return { outcome: plan.baseChain.length > 1 ? 'combined' : 'nothing-to-combine', ...combined };
  };
}

/** How the data directory was made by an earlier attempt; the marker is written before the rename that makes it visible. */
async function madeAlready(place: SandboxPlace, marker: SandboxMarker): Promise<Combined | null> {
  if (!(await pathExists(place.dataDir))) return null;
  if (marker.combined !== null) return marker.combined;
  throw stepFailure('SandboxNotOurs', `${place.dataDir} is there, but the marker does not say how it was made`);
}

async function makeData(
  deps: Deps,
  place: SandboxPlace,
  plan: SandboxStepInput['plan'],
  baseProof = 'unknown: the marker does not say how',
): Promise<Combined> {
  const [made, combined] =
    plan.baseChain.length > 1
      ? await combineChain(deps, place, plan)
      : ([baseDirOf(place, 0), { method: 'rename', verifiedBy: baseProof, seconds: 0 }] as const);
  await requirePlannedCluster(place, made, plan);
  await requireSelfContained(made);
  // A standby would wait for ever instead of ending recovery at the target.
  await rm(path.join(made, 'standby.signal'), { force: true });
  await chmod(made, 0o700);
  await changeMarker(place, { combined });
  faultPoint(FAULT_COMBINED_BEFORE_RENAME);
  await rename(made, place.dataDir); // not flushed, like everything of a sandbox
  faultPoint(FAULT_COMBINED_AFTER_RENAME);
  return combined;
}

async function combineChain(
  deps: Deps,
  place: SandboxPlace,
  plan: SandboxStepInput['plan'],
): Promise<readonly [string, Combined]> {
  const owner = await ownerOf(place.dir);
  const outputDir = `${place.dataDir}.tmp`;
  const method = await chooseCopyMethod(place.dir, plan.postgresMajor);
  const baseDirs = plan.baseChain.map((_, index) => baseDirOf(place, index));
  await replaceFileUnflushed(place.combineScript, COMBINE_SCRIPT, owner);
  const program = path.join(place.binDir, 'pg_combinebackup');
  const combine: JobSpec = {
    id: jobIdFor(place.ref.runId, 'combine-incrementals'),
    argv: ['/bin/sh', place.combineScript, outputDir, program, ...combineArgs(baseDirs, outputDir, method)],
    ...runAsOwner(owner),
  };
  const combined = await runJobOrFail(deps.jobs, combine);
  const verified = await verify(deps, place, outputDir, combine.id);
  const seconds = combined.seconds + verified;
  return [outputDir, { method, verifiedBy: 'pg_verifybackup of the combined base', seconds }];
}

/** Seconds that it took. A result that does not verify is made again by the next attempt. */
async function verify(deps: Deps, place: SandboxPlace, dir: string, combineJob: string): Promise<number> {
  const owner = await ownerOf(place.dir);
  const job: JobSpec = {
    id: jobIdFor(place.ref.runId, 'verify-combined'),
    argv: [path.join(place.binDir, 'pg_verifybackup'), ...verifyBackupArgs(dir)],
    ...runAsOwner(owner),
  };
  const result = await deps.jobs.run(job);
  if (result.exitCode === 0) return result.seconds;
  await deps.jobs.forget(combineJob);
  await deps.jobs.forget(job.id);
  const damage = result.logTail.filter((line) => /mismatch|missing|not in the manifest|could not|has size/.test(line));
  if (damage.length === 0) throw jobFailure(job, result);
  throw stepFailure('BackupCorrupt', `the combined base does not verify: ${damage.slice(-5).join(' | ')}`);
}

async function requirePlannedCluster(place: SandboxPlace, dir: string, plan: SandboxStepInput['plan']): Promise<void> {
  const control = await requireControlData(place.binDir, dir);
  if (control.postgresMajor !== plan.postgresMajor) {
    throw stepFailure(
      'MajorMismatch',
      `the base is of PostgreSQL ${String(control.postgresMajor)}, the plan is for ${String(plan.postgresMajor)}`,
    );
  }
  if (control.systemIdentifier === plan.systemIdentifier) return;
  throw stepFailure(
    'IdentityMismatch',
    `the base is of cluster ${control.systemIdentifier}, the plan is for ${plan.systemIdentifier}`,
  );
}

/** The bases are in the data directory now; what is left of them only takes space. */
async function removeBases(place: SandboxPlace, count: number): Promise<void> {
  for (let index = 0; index < count; index += 1) {
    await rm(baseDirOf(place, index), { recursive: true, force: true });
  }
}
