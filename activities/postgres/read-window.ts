/** Activity `readWindow`: what of an environment can be recovered now. Reads only. */
import { access, constants } from 'node:fs/promises';
import path from 'node:path';

import { MAIN_STORE, type EnvironmentConfig } from '../../config/schema.js';
import type { OtherWindow, WindowResult } from '../../shared/contracts/plan.js';
import { allWithin } from '../lib/all-within.js';
import type { ActivityDeps } from '../lib/deps.js';
import { environmentOf, storeConfigOf, storeNamesOf } from '../lib/environment-config.js';
import { knownFailure, stepFailure } from '../lib/failure.js';
import { findLivePrimary } from './plan-recovery-live.js';
import { withScratch } from './plan-recovery-scratch.js';

/** How long the other stores may take once the one that was asked for has answered. */
const PATIENCE_MS = 5_000;

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
    const asked = read(name);
    const others = otherNames.map((other) => readOther(other, storeConfigOf(environment, other).kind, read));
    const answers = await allWithin<WindowResult | OtherWindow>(
      [asked, ...others],
      (answer) => 'bases' in answer,
      PATIENCE_MS,
      (index) => silent(environment, otherNames[index - 1] ?? ''),
    );
    const window = await asked;
    const known = answers.filter((answer): answer is OtherWindow => !('bases' in answer));
    const several = known.length === 0 ? {} : { store: name, kind, others: known };
    return { ...window, ...several, warnings: [...live.warnings, ...window.warnings] };
  };
}

function silent(environment: EnvironmentConfig, store: string): OtherWindow {
  const why = `it did not answer within ${String(PATIENCE_MS / 1000)} s`;
  return { store, kind: storeConfigOf(environment, store).kind, why };
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
