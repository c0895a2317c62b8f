/** Activity `resumeBackups`: undo of `pauseBackups`. */
import type { PauseBackupsResult } from '../../shared/contracts/promotion.js';
import type { ActivityDeps } from '../lib/deps.js';

export function createResumeBackups(deps: Pick<ActivityDeps, 'store'>) {
  return async function resumeBackups(input: { environment: string; run: string }): Promise<PauseBackupsResult> {
    const store = await deps.store(input.environment);
    return { provider: store.kind, ...(await store.resume(input.run)) };
  };
}
