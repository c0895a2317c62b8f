import type { NotifyInput } from '../../shared/contracts/activities.js';
import type { ActivityDeps } from '../lib/deps.js';

/** Activity `notify`: what runs of an older build call instead of the workflow that tells people. One line in the worker's log. */
export function createNotify({ log }: Pick<ActivityDeps, 'log'>) {
  return function notify({ event, text, environment, run }: NotifyInput): Promise<void> {
    const fields = { event, environment, run };
    if (event === 'needs-attention' || event === 'gate-expired') log.warn(fields, text);
    else log.info(fields, text);
    return Promise.resolve();
  };
}
