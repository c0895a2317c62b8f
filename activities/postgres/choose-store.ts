/** Which of several backup stores a recovery takes. */
import type { EnvironmentConfig } from '../../config/schema.js';
import type { StoreChoice } from '../../shared/contracts/plan.js';
import { compareTimestamps } from '../../shared/target-time.js';
import type { ResolvedTarget } from '../lib/backup-store.js';
import { storeConfigOf, storeNamesOf } from '../lib/environment-config.js';
import { knownFailure, stepFailure } from '../lib/failure.js';
import { allWithin } from '../lib/all-within.js';
import { estimateOf } from './plan-recovery-estimate.js';

/** A store that hangs must not hold up a recovery that another one can serve. */
const PATIENCE_MS = 10_000;

/** What one store says to a target; `warnings` came up on the way. */
export type Resolution = { resolved: ResolvedTarget; warnings: string[] };
export type ChosenStore = Resolution & { store: string; stores: StoreChoice[] };

type Asked = { choice: StoreChoice; resolution: Resolution | null; error: unknown };

/**
 * Asks the store called `only`, or all of them at once, and takes the best: the one that keeps most before the target (an archive that lags behind may have less),
 * then the fastest, then the first of the config. When none serves, the failure of the first is thrown with those of the others in its text; a store that did not
 * answer is then never taken for one that has nothing. Once one serves, the others have `patienceMs` left.
 */
export async function chooseStore(
  environment: EnvironmentConfig,
  only: string | undefined,
  resolve: (store: string) => Promise<Resolution>,
  patienceMs = PATIENCE_MS,
): Promise<ChosenStore> {
  const names = only === undefined ? storeNamesOf(environment) : [only];
  const asked = await allWithin(
    names.map((name) => ask(name, storeConfigOf(environment, name).kind, resolve)),
    ({ choice }) => choice.reaches,
    patienceMs,
    (index) => silent(names[index] ?? '', environment, patienceMs),
  );
  const stores = asked.map(({ choice }) => choice);
  const best = asked.reduce<Asked | null>((found, one) => (isBetter(one, found) ? one : found), null);
  if (best === null || best.resolution === null) throw noneServes(asked);
  return { ...best.resolution, store: best.choice.store, stores };
}

function silent(store: string, environment: EnvironmentConfig, patienceMs: number): Asked {
  const why = `it did not answer within ${String(patienceMs / 1000)} s after another store had`;
  const { kind } = storeConfigOf(environment, store);
  return { choice: { store, kind, reaches: false, code: 'StoreUnavailable', why }, resolution: null, error: null };
}

async function ask(store: string, kind: string, resolve: (store: string) => Promise<Resolution>): Promise<Asked> {
  try {
    const resolution = await resolve(store);
    const { boundary, lost } = resolution.resolved;
    const { totalSeconds: seconds } = estimateOf(resolution.resolved);
    const unknown = resolution.resolved.boundaryAfterFetch === true ? { keptUnknown: true as const } : {};
    const choice = { store, kind, reaches: true as const, seconds, kept: boundary.kept, lost, ...unknown };
    return { choice, resolution, error: null };
  } catch (error) {
    const failure = knownFailure(error);
    if (failure === null) throw error;
    const choice = { store, kind, reaches: false as const, code: failure.type, why: failure.message };
    return { choice, resolution: null, error };
  }
}

function isBetter({ choice }: Asked, than: Asked | null): boolean {
  if (!choice.reaches) return false;
  if (than?.choice.reaches !== true) return true;
  const [one, other] = [choice.kept?.time ?? '', than.choice.kept?.time ?? ''];
  const later = one === '' || other === '' ? Number(one !== '') - Number(other !== '') : compareTimestamps(one, other);
  return later === 0 ? choice.seconds < than.choice.seconds : later > 0;
}

function noneServes([first, ...others]: readonly Asked[]): unknown {
  const failure = knownFailure(first?.error);
  if (first === undefined || failure === null || others.length === 0) return first?.error;
  const rest = others.flatMap(({ choice }) => (choice.reaches ? [] : [`; store ${choice.store}: ${choice.why}`]));
  const message = `store ${first.choice.store}: ${failure.message}${rest.join('')}`;
  return stepFailure(failure.type, message, { cause: first.error });
}
