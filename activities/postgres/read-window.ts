/** Activity `readWindow`: what of an environment can be recovered now. Reads only. */
import { access, constants } from 'node:fs/promises';
import path from 'node:path';

import type { EnvironmentConfig } from '../../config/schema.js';
import type { WindowResult } from '../../shared/contracts/plan.js';
import type { ActivityDeps } from '../lib/deps.js';
import { environmentOf } from '../lib/environment-config.js';
import { stepFailure } from '../lib/failure.js';
import { findLivePrimary } from './plan-recovery-live.js';
import { withScratch } from './plan-recovery-scratch.js';

/** Bases, holes and the last archived commit. Errors as `BackupStore.window`; a primary that does not answer is a warning. */
export function createReadWindow(deps: ActivityDeps) {
  return async function readWindow(input: { environment: string }): Promise<WindowResult> {
    const environment = environmentOf(deps.config, input.environment);
    const [store, live, binDir] = await Promise.all([
      deps.store(input.environment),
      findLivePrimary(deps, input.environment),
      programsHere(environment),
    ]);
    const window = await withScratch(deps.config.stateDir, (scratchDir) =>
      store.window({ environment: input.environment, scratchDir, binDir, live: live.primary }),
    );
    return { ...window, warnings: [...live.warnings, ...window.warnings] };
  };
}

/** Any host of the environment can answer: the first directory of server programs that exists on this one is used. */
async function programsHere(environment: EnvironmentConfig): Promise<string> {
  const candidates = [...new Set(environment.nodes.map((node) => node.binDir))];
  for (const binDir of candidates) {
    const isHere = await access(path.join(binDir, 'pg_waldump'), constants.X_OK).then(
      () => true,
      () => false,
    );
    if (isHere) return binDir;
  }
  throw stepFailure('PreconditionFailed', `there is no pg_waldump on this host in ${candidates.join(' or ')}`, {
    hint: 'install the server programs here or correct binDir of the nodes in the config',
  });
}
