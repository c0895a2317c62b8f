import type { AppFacts } from '../../shared/contracts/environment.js';
import type { AppStepResult } from '../../shared/contracts/promotion.js';
import { onHost } from './activity-proxies.js';

/** Stops the applications one after the other, in the order of the config. */
export async function stopApps(environment: string, apps: readonly AppFacts[]): Promise<AppStepResult[]> {
  const results: AppStepResult[] = [];
  for (const { name, host } of apps) results.push(await onHost(host).stopApp({ environment, app: name }));
  return results;
}

/** Starts them in the opposite order. */
export async function startApps(environment: string, apps: readonly AppFacts[]): Promise<AppStepResult[]> {
  const results: AppStepResult[] = [];
  for (const { name, host } of apps.toReversed()) results.push(await onHost(host).startApp({ environment, app: name }));
  return results;
}
