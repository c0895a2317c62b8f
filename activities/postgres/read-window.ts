/** Activity `readWindow`: what of an environment can be recovered now. Reads only. */
import { access, constants } from 'node:fs/promises';
import path from 'node:path';

import { MAIN_STORE, type EnvironmentConfig } from '../../config/schema.js';
import type { OtherWindow, WindowResult } from '../../shared/contracts/plan.js';
import type { ActivityDeps } from '../lib/deps.js';
import { environmentOf, storeConfigOf, storeNamesOf } from '../lib/environment-config.js';
import { knownFailure, stepFailure } from '../lib/failure.js';
import { findLivePrimary } from './plan-recovery-live.js';
import { withScratch } from './plan-recovery-scratch.js';

/** Bases, holes and the last archived commit. Errors as `BackupStore.window`; a primary that does not answer is a warning. */
export function createReadWindow(deps: ActivityDeps) {
  return async function readWindow(input: { environment: string; store?: string }): Promise<WindowResult> {
    const environment = environmentOf(deps.config, input.environment);
    const name = input.store ?? MAIN_STORE;
    const { kind } = storeConfigOf(environment, name);
    const [live, binDir] = await Promise.all([findLivePrimary(deps, input.environment), programsHere(environment)]);
    const read = async (store: string): Promise<WindowResult> => {
      const opened = await deps.store(input.environment, store);
      return withScratch(deps.config.stateDir, (scratchDir) =>
        opened.window({ environment: input.environment, scratchDir, binDir, live: live.primary }),
      );
    };
    const otherNames = storeNamesOf(environment).filter((one) => one !== name);
    const [window, others] = await Promise.all([
      read(name),
      Promise.all(otherNames.map((other) => readOther(other, storeConfigOf(environment, other).kind, read))),
    ]);
    const several = others.length === 0 ? {} : { store: name, kind, others };
    return { ...window, ...several, warnings: [...live.warnings, ...window.warnings] };
  };
}

/** A store that does not answer is named; the one that was asked for is answered all the same. */
async function readOther(
  store: string,
  kind: string,
  read: (store: string) => Promise<WindowResult>,
): Promise<OtherWindow> {
  try {
    const { earliest, latest } = await read(store);
    return { store, kind, earliest, latest };
  } catch (error) {
    const failure = knownFailure(error);
    if (failure === null) throw error;
    return { store, kind, why: failure.message };
  }
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
