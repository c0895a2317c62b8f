/** New data by pg_basebackup, in the work directory. The old data stay as they are. */
import path from 'node:path';

import type { ActivityDeps } from '../../lib/deps.js';
import { stepFailure } from '../../lib/failure.js';
import { pathExists, type Owner } from '../data-directory.js';
import { requireCluster, requireStopped } from '../promotion/node-place.js';
import { baseCopyJob, isCompleteCopy, readCopyProgress } from '../standby/base-copy-job.js';
import { waitForIdleSlot } from '../standby/slot.js';
import { makeDirectory } from './move-data.js';
import type { RebuildPlace } from './rebuild-place.js';
import { writeState, type RebuildState } from './rebuild-state.js';
import { emptyDirectory, runOnce, type JobEnd } from './work-jobs.js';

/** A job that was killed is tried again by itself this often; one that failed is for a person. */
const TRIES = 3;

/** Returns the state once the work directory is a complete copy of the peer. Throws CommandFailed, SpaceMissing or JobLost. */
export async function makeBase(
  deps: ActivityDeps,
  place: RebuildPlace,
  state: RebuildState,
  slot: string,
  owner: Owner,
): Promise<RebuildState> {
  let current = state;
  for (let tries = 1; ; tries += 1) {
    if (!current.prepared) {
      // The receiver of a copy that was killed outlives it, writes on, and holds the slot.
      if (current.attempt > 1) await deps.jobs.end(place.jobId(`base-${String(current.attempt - 1)}`));
      await waitForIdleSlot(deps, place.environment, place.plan.from.name, slot);
      await requireStopped(place.workDir);
      if (place.inPlace && !(await pathExists(place.dataDir))) await makeDirectory(place.dataDir, owner);
      await makeDirectory(place.workDir, owner);
      await emptyDirectory(deps, place, place.workDir, owner);
      current = await writeState(place, { ...current, prepared: true });
    }
    const { end, failure } = await copyOnce(deps, place, current, slot, owner);
    if (end === 'ok') break;
    current = await writeState(place, { ...current, prepared: false, attempt: current.attempt + 1 });
    if (end === 'failed' || tries >= TRIES) throw withSafetyCopy(place, failure);
  }
  await requireCluster(place.node.binDir, place.workDir, place.systemIdentifier);
  return current;
}

type CopyEnd = { end: JobEnd['end']; failure: Error };

async function copyOnce(
  deps: ActivityDeps,
  place: RebuildPlace,
  state: RebuildState,
  slot: string,
  owner: Owner,
): Promise<CopyEnd> {
  const { environment, node, plan } = place;
  const job = await baseCopyJob(deps, {
    id: place.jobId(`base-${String(state.attempt)}`),
    environment,
    node: node.name,
    from: plan.from.name,
    binDir: node.binDir,
    targetDir: place.workDir,
    slot,
    owner,
    rateLimitKbPerSecond: plan.rateLimitKbPerSecond,
  });
  const result = await runOnce(deps, job, () => readCopyProgress(deps, environment, plan.from.name, node.name));
  const incomplete = stepFailure('CommandFailed', `the copy in ${place.workDir} is not complete`);
  if (result.end !== 'ok') return result;
  return { end: (await isCompleteCopy(place.workDir)) ? 'ok' : 'failed', failure: incomplete };
}

/** The failure with what matters at that moment: where the old data are, and how they come back. */
function withSafetyCopy(place: RebuildPlace, failure: Error): Error {
  const { name } = place.plan.safetyCopy;
  return stepFailure(
    'type' in failure && failure.type === 'SpaceMissing' ? 'SpaceMissing' : 'CommandFailed',
    failure.message,
    {
      hint: `the old data are whole in ${name} (${path.basename(place.dataDir)} as it was): mend the cause, then \`pgr retry\`; or \`pgr abort\` puts them back`,
      cause: failure,
    },
  );
}
