import type { NotifyInput } from '../../shared/contracts/activities.js';
import type { ActivityDeps } from '../lib/deps.js';

/** One way to tell people. A notifier that fails must not fail the run: it logs and returns. */
export interface Notifier {
  send(notice: NotifyInput): Promise<void>;
}

/** The notifier that is always there: one structured line in the worker's log, for log alerts. */
function createLogNotifier(log: ActivityDeps['log']): Notifier {
  return {
    send: ({ event, text, environment, run }) => {
      const fields = { event, environment, run };
      if (event === 'needs-attention' || event === 'gate-expired') log.warn(fields, text);
      else log.info(fields, text);
      return Promise.resolve();
    },
  };
}

/**
 * Activity `notify`: tells every notifier. Sending twice after a lost reply is harmless; not sending because one of them is
 * broken is not, so each is tried whatever the others did.
 */
export function createNotify(deps: Pick<ActivityDeps, 'log'>, notifiers: Notifier[] = [createLogNotifier(deps.log)]) {
  return async function notify(input: NotifyInput): Promise<void> {
    const outcomes = await Promise.allSettled(notifiers.map((notifier) => notifier.send(input)));
    for (const outcome of outcomes) {
      if (outcome.status === 'rejected')
        deps.log.warn({ run: input.run, event: input.event, problem: String(outcome.reason) }, 'a notice was not sent');
    }
  };
}
