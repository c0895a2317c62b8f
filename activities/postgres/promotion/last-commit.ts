/** The last commit that the archive has of a timeline, with a scratch directory of its own. */
import type { TransactionPoint } from '../../../shared/contracts/plan.js';
import type { ActivityDeps } from '../../lib/deps.js';
import { withScratch } from '../plan-recovery-scratch.js';

/** Null when the archive has no commit on it; store failures pass. */
export async function readLastCommitOf(
  deps: ActivityDeps,
  environment: string,
  binDir: string,
  timeline: number,
  walSegmentBytes: number,
): Promise<TransactionPoint | null> {
  const store = await deps.store(environment);
  return withScratch(deps.config.stateDir, (scratchDir) =>
    store.lastCommit({ timeline, scratchDir, binDir, walSegmentBytes }),
  );
}
