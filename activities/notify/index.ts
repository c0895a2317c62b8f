import type { OrchestratorActivities } from '../../shared/contracts/activities.js';
import type { ActivityDeps } from '../lib/deps.js';
import { createCheckChannels } from './check-channels.js';
import { createChannels } from './create-channels.js';
import { createNotify } from './notify.js';
import { createSendNotice } from './send-notice.js';

/** The activities that tell people. */
export function createNotifyActivities(
  deps: Pick<ActivityDeps, 'config' | 'resolveSecret' | 'log'>,
): Pick<OrchestratorActivities, 'notify' | 'listChannels' | 'sendNotice' | 'checkChannels'> {
  const channels = createChannels(deps);
  return {
    notify: createNotify(deps),
    listChannels: ({ environment }) => Promise.resolve({ channels: channels.of(environment) }),
    sendNotice: createSendNotice(deps, channels),
    checkChannels: createCheckChannels(deps),
  };
}
