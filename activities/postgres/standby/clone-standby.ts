/** A copy of the primary in a directory of its own, made by pg_basebackup as a job: the old data of the standby are not needed for it. */
import { rm } from 'node:fs/promises';
import path from 'node:path';

import type { RebuildStandbyInput } from '../../../shared/contracts/promotion.js';
import { jobIdFor } from '../../../shared/ids.js';
import type { ActivityDeps } from '../../lib/deps.js';
import { jobFailure } from '../../lib/exec-job.js';
import type { JobProgress } from '../../lib/job-runner.js';
import { namesIn, type Owner } from '../data-directory.js';
import { replacementOf, requireCluster, requireStopped, type NodePlace } from '../promotion/node-place.js';
import { baseCopyJob, isCompleteCopy, readCopyProgress } from './base-copy-job.js';
import { waitForIdleSlot } from './slot.js';

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
  const { environment, node, from } = input;
  const job = await baseCopyJob(deps, {
    id: jobIdFor(input.runId, `rebuild-standby-${node}`),
    environment,
    node,
    from,
    binDir: place.node.binDir,
    targetDir: place.cloneDir,
    slot,
    owner,
    rateLimitKbPerSecond: null,
  });
  const readProgress = (): Promise<JobProgress | null> => readCopyProgress(deps, environment, from, node);
  let result = await deps.jobs.run(job, { readProgress });
  if (result.exitCode !== 0 || !(await isCompleteCopy(place.cloneDir))) {
    // The receiver of a copy that was killed outlives it, writes on, and holds the slot.
    await deps.jobs.end(job.id);
    await waitForIdleSlot(deps, environment, from, slot);
    await removeRemains(place);
    await deps.jobs.forget(job.id);
    result = await deps.jobs.run(job, { readProgress });
  }
  if (result.exitCode !== 0 || !(await isCompleteCopy(place.cloneDir))) {
    await deps.jobs.forget(job.id);
    throw jobFailure(job, result);
  }
  await requireCluster(place.node.binDir, place.cloneDir, replacementOf(input.expect));
}

async function removeRemains(place: NodePlace): Promise<void> {
  await requireStopped(place.cloneDir);
  // Not the directory itself: it may be a mount point.
  for (const name of (await namesIn(place.cloneDir)) ?? []) {
    await rm(path.join(place.cloneDir, name), { recursive: true, force: true });
  }
}
