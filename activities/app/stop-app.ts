/** Activity `stopApp`. */
import type { AppStepInput, AppStepResult } from '../../shared/contracts/promotion.js';
import type { ActivityDeps } from '../lib/deps.js';
import { stopCommandApp } from './command-app.js';
import { namedApp } from './named-app.js';

const PROVIDERS = { command: stopCommandApp };

export function createStopApp(deps: Pick<ActivityDeps, 'config'>) {
  return async function stopApp(input: AppStepInput): Promise<AppStepResult> {
    const app = namedApp(deps, input);
    return PROVIDERS[app.kind](app);
  };
}
