/** Activity `startApp`. */
import type { AppStepInput, AppStepResult } from '../../shared/contracts/promotion.js';
import type { ActivityDeps } from '../lib/deps.js';
import { startCommandApp } from './command-app.js';
import { namedApp } from './named-app.js';

const PROVIDERS = { command: startCommandApp };

export function createStartApp(deps: Pick<ActivityDeps, 'config'>) {
  return async function startApp(input: AppStepInput): Promise<AppStepResult> {
    const app = namedApp(deps, input);
    return PROVIDERS[app.kind](app);
  };
}
