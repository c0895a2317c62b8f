import type { CheckRunInput, CheckRunResult } from '../shared/contracts/runs.js';
import { interactive, interactiveOnHost } from './lib/activity-proxies.js';
import { asRunFailure } from './lib/failures.js';

/** The doctor: what is wrong with an environment before it matters. Fails typed when it cannot look. */
export async function check({ environment }: CheckRunInput): Promise<CheckRunResult> {
  try {
    const { sandboxHost } = await interactive.readEnvironment({ environment });
    const { checks } = await interactiveOnHost(sandboxHost).checkEnvironment({ environment });
    // Notices go out from the orchestrator, so its secrets and its network are what counts.
    const ofChannels = await interactive.checkChannels({ environment });
    return { checks: [...checks, ...ofChannels.checks] };
  } catch (error) {
    throw asRunFailure(error);
  }
}
