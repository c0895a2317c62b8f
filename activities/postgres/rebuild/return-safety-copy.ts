/**
 * Puts the safety copy back: undo of a rebuild, finished or not. Needs: the server stopped. What stands in the place of the data is set aside, never
 * deleted; only what this rebuild was still making goes. A retry finds the old data in their place and reports it.
 */
import { rmdir } from 'node:fs/promises';

import type { RebuildStepInput, ReturnSafetyCopyResult, SafetyCopy } from '../../../shared/contracts/rebuild.js';
import type { ActivityDeps } from '../../lib/deps.js';
import { stepFailure } from '../../lib/failure.js';
import { faultPoint } from '../../lib/fault-points.js';
import { directoryState, pathExists, renameDurably } from '../data-directory.js';
import { requireCluster, undoneDataDirFor } from '../promotion/node-place.js';
import { ownerOfData, rebuildPlace, requireServerStopped, type RebuildPlace } from './rebuild-place.js';
import { readState, writeState, type RebuildState } from './rebuild-state.js';
import { findSafetyCopy, nothingKept } from './take-safety-copy.js';
import { emptyDirectory } from './work-jobs.js';

export function createReturnSafetyCopy(deps: ActivityDeps) {
  return async function returnSafetyCopy(input: RebuildStepInput): Promise<ReturnSafetyCopyResult> {
    const place = rebuildPlace(deps, input);
    const state = await readState(place);
    await endJobs(deps, place, state);
    await requireServerStopped(place);
    const owner = await ownerOfData(place);
    const result = await putBack(place, state);
    faultPoint('rebuild:returned');
    await emptyDirectory(deps, place, place.workDir, owner);
    for (const dir of [place.workDir, place.oldDir]) if (await pathExists(dir)) await rmdir(dir);
    if (state !== null) await writeState(place, { ...state, stage: 'returned', rewinding: false });
    return result;
  };
}

/** Nothing of a given-up copy may go on writing. */
async function endJobs(deps: ActivityDeps, place: RebuildPlace, state: RebuildState | null): Promise<void> {
  for (let attempt = 1; attempt <= (state?.attempt ?? 0); attempt += 1) {
    for (const job of ['base', 'rewind', 'old-data']) await deps.jobs.end(place.jobId(`${job}-${String(attempt)}`));
  }
}

async function putBack(place: RebuildPlace, state: RebuildState | null): Promise<ReturnSafetyCopyResult> {
  if ((await nothingKept(place)) !== null) return emptyPlace(place);
  if (!(await isCopyThere(place)) && state?.stage !== 'returning') return withoutCopy(place, state);
  if (state !== null) await writeState(place, { ...state, stage: 'returning' });
  return place.provider.putBack(copyOf(place));
}

/** True also when it cannot be told: the provider knows what a half-done return looks like. */
async function isCopyThere(place: RebuildPlace): Promise<boolean> {
  return findSafetyCopy(place).then(
    (copy) => copy !== null,
    () => true,
  );
}

/** Fine when nothing was replaced (the copy was never taken, or it came back before); else somebody removed it. */
async function withoutCopy(place: RebuildPlace, state: RebuildState | null): Promise<ReturnSafetyCopyResult> {
  if (state !== null && state.stage !== 'returned') {
    throw stepFailure(
      'SafetyCopyMissing',
      `the safety copy ${place.plan.safetyCopy.name} is gone: nothing was touched`,
      {
        hint: 'what stands in the data directory was left as it is; `pgr rebuild-standby` makes a new standby',
      },
    );
  }
  await requireCluster(place.node.binDir, place.dataDir, place.systemIdentifier);
  const undone = undoneDataDirFor(place.dataDir, place.runId);
  return { outcome: 'already-there', setAside: (await pathExists(undone)) ? undone : null };
}

/** There was no cluster when the rebuild began: new data that stand there are set aside. */
async function emptyPlace(place: RebuildPlace): Promise<ReturnSafetyCopyResult> {
  const undone = undoneDataDirFor(place.dataDir, place.runId);
  if (place.inPlace || (await directoryState(place.dataDir)) !== 'cluster') {
    return { outcome: 'already-there', setAside: (await pathExists(undone)) ? undone : null };
  }
  await renameDurably(place.dataDir, undone);
  return { outcome: 'returned', setAside: undone };
}

function copyOf(place: RebuildPlace): SafetyCopy {
  const { environment, run, runId, plan, systemIdentifier } = place;
  const { provider, name } = plan.safetyCopy;
  const { name: node, host, timeline } = plan.node;
  return {
    provider,
    name,
    environment,
    node,
    host,
    run,
    runId,
    createdAt: '',
    systemIdentifier,
    timeline,
    bytes: null,
    verified: true,
  };
}
