import type { WindowResult } from '../shared/contracts/plan.js';
import type { WindowRunInput } from '../shared/contracts/runs.js';
import { interactive, interactiveOnHost } from './lib/activity-proxies.js';
import { asRunFailure } from './lib/failures.js';

/** What the store of an environment can recover: one read on its sandbox host. Fails typed (HostUnreachable, StoreUnavailable …). */
export async function window(input: WindowRunInput): Promise<WindowResult> {
  try {
    const { sandboxHost } = await interactive.readEnvironment({ environment: input.environment });
    return await interactiveOnHost(sandboxHost).readWindow(input);
  } catch (error) {
    throw asRunFailure(error);
  }
}
