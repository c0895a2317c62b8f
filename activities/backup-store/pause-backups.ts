/** Activity `pauseBackups`: what the store does by itself (schedules, streams) is held while production is replaced. */
import type { PauseBackupsResult } from '../../shared/contracts/promotion.js';
import type { ActivityDeps } from '../lib/deps.js';

/** `run` names who holds them, so that a second call of the same run changes nothing. */
export function createPauseBackups(deps: Pick<ActivityDeps, 'store'>) {
  return async function pauseBackups(input: { environment: string; run: string }): Promise<PauseBackupsResult> {
    const store = await deps.store(input.environment);
    return { provider: store.kind, ...(await store.pause(input.run)) };
  };
}
