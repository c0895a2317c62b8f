import type { Log } from '../../lib/deps.js';
import type { Channel } from '../channel.js';

/** The channel that is always there: one structured line in the worker's log, for log alerts. A second line after a crash is harmless. */
export function createLogChannel(log: Log): Channel {
  return {
    defaultEvents: null,
    isRepeatable: true,
    send: ({ subject, notice, text }) => {
      const fields = { event: notice.event, environment: subject.environment, run: subject.run };
      if (text.urgency === 'page' || text.urgency === 'warning') log.warn(fields, text.title);
      else log.info(fields, text.title);
      return Promise.resolve({ outcome: 'sent', memory: {} });
    },
  };
}
