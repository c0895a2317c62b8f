/** The application of the config that a step names. */
import type { AppConfig } from '../../config/schema.js';
import type { AppStepInput } from '../../shared/contracts/promotion.js';
import { taskQueueForHost } from '../../shared/ids.js';
import { currentActivity } from '../lib/cancellation.js';
import type { ActivityDeps } from '../lib/deps.js';
import { environmentOf } from '../lib/environment-config.js';
import { stepFailure } from '../lib/failure.js';

/** Throws NotFound, or IdentityMismatch when the step came over the queue of another host. */
export function namedApp(deps: Pick<ActivityDeps, 'config'>, input: AppStepInput): AppConfig {
  const { apps } = environmentOf(deps.config, input.environment);
  const app = apps.find((candidate) => candidate.name === input.app);
  if (app === undefined) {
    throw stepFailure('NotFound', `there is no app "${input.app}" in environment ${input.environment}`, {
      hint: `its apps are: ${apps.map((candidate) => candidate.name).join(', ')}`,
    });
  }
  const queue = currentActivity()?.info.taskQueue;
  if (queue === undefined || !queue.startsWith('host/') || queue === taskQueueForHost(app.host)) return app;
  throw stepFailure('IdentityMismatch', `app ${app.name} is on host ${app.host}, this is the worker of ${queue}`);
}
