/** A copy of the primary in a directory of its own, made by pg_basebackup as a job: the old data of the standby are not needed for it. */
import { rm } from 'node:fs/promises';
import path from 'node:path';

import type { RebuildStandbyInput } from '../../../shared/contracts/promotion.js';
import { jobIdFor } from '../../../shared/ids.js';
import type { ActivityDeps } from '../../lib/deps.js';
import { jobFailure } from '../../lib/exec-job.js';
import type { JobProgress, JobSpec } from '../../lib/job-runner.js';
import { standbyCloneArgs } from '../commands.js';
import { connectNode, replicationAddress } from '../connection.js';
import { directoryState, pathExists, runAsOwner, type Owner } from '../data-directory.js';
import { requireCluster, requireStopped, type NodePlace } from '../promotion/node-place.js';

/** Last file that pg_basebackup writes: a copy without it is not complete. */
const MANIFEST = 'backup_manifest';

/**
 * Returns once `place.cloneDir` is a complete copy. Attaches to the job when it runs. What a job that died left behind is removed (the
 * directory is named after this run) and the copy made again, once per attempt. Throws CommandFailed.
 */
export async function cloneStandby(
  deps: ActivityDeps,
  input: RebuildStandbyInput,
  place: NodePlace,
  slot: string,
  owner: Owner,
): Promise<void> {
  const job = await cloneJob(deps, input, place, slot, owner);
  const readProgress = (): Promise<JobProgress | null> => readCloneProgress(deps, input);
  let result = await deps.jobs.run(job, { readProgress });
  if (result.exitCode !== 0 || !(await isComplete(place))) {
    await removeRemains(place);
    await deps.jobs.forget(job.id);
    result = await deps.jobs.run(job, { readProgress });
  }
  if (result.exitCode !== 0 || !(await isComplete(place))) {
    await deps.jobs.forget(job.id);
    throw jobFailure(job, result);
  }
  await requireCluster(place.node.binDir, place.cloneDir, input.expect.systemIdentifier);
}

/** True when the copy is there as a whole. */
async function isComplete(place: NodePlace): Promise<boolean> {
  if ((await directoryState(place.cloneDir)) !== 'cluster') return false;
  return pathExists(path.join(place.cloneDir, MANIFEST));
}

async function removeRemains(place: NodePlace): Promise<void> {
  await requireStopped(place.cloneDir);
  await rm(place.cloneDir, { recursive: true, force: true });
}

async function cloneJob(
  deps: ActivityDeps,
  input: RebuildStandbyInput,
  place: NodePlace,
  slot: string,
  owner: Owner,
): Promise<JobSpec> {
  const { host, port, user, password } = await replicationAddress(deps, input.environment, input.from);
  const clone = { host, port, user, targetDir: place.cloneDir, slot, applicationName: input.node };
  return {
    id: jobIdFor(input.runId, `rebuild-standby-${input.node}`),
    argv: [path.join(place.node.binDir, 'pg_basebackup'), ...standbyCloneArgs(clone)],
    ...(password === null ? {} : { env: { PGPASSWORD: password } }),
    ...runAsOwner(owner),
  };
}

/** Bytes as the primary counts them (pg_stat_progress_basebackup). */
async function readCloneProgress(deps: ActivityDeps, input: RebuildStandbyInput): Promise<JobProgress | null> {
  return connectNode(deps, input.environment, input.from, { statementTimeoutMs: 2_000 }, async (client) => {
    const { rows } = await client.query<{ done: string; total: string | null; phase: string }>(
      `select backup_streamed::text as done, backup_total::text as total, phase
         from pg_stat_progress_basebackup order by backup_streamed desc limit 1`,
    );
    const row = rows[0];
    if (row === undefined) return null;
    return {
      done: Number(row.done),
      total: row.total === null ? null : Number(row.total),
      unit: 'bytes',
      note: row.phase,
    };
  });
}
