/** Activity `abandonTimeline`: after an undo, the promoted timeline is not production's history any more. Nothing is deleted. */
import type { AbandonTimelineInput } from '../../shared/contracts/promotion.js';
import type { ActivityDeps } from '../lib/deps.js';

export function createAbandonTimeline(deps: Pick<ActivityDeps, 'store'>) {
  return async function abandonTimeline(
    input: AbandonTimelineInput,
  ): Promise<{ outcome: 'marked' | 'already-marked' }> {
    const store = await deps.store(input.environment);
    return { outcome: await store.abandonTimeline(input.timeline, input.run) };
  };
}
