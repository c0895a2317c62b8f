import type { ControllerStepInput, PlaceKeyResult } from '../../../shared/contracts/controller.js';
import { stepFailure } from '../../lib/failure.js';
import { fingerprintOf, keyPathOf, placeKey, readKeyFingerprint } from './key-file.js';
import { findContainer } from './look.js';
import { readEscrowedKey } from './prove-key.js';
import { reachController, type ControllerDeps } from './reach.js';

/** Activity `placeControllerKey`: the key that was proven, and no other, before any container runs. */
export function createPlaceControllerKey(deps: ControllerDeps) {
  return async function placeControllerKey({ environment, plan }: ControllerStepInput): Promise<PlaceKeyResult> {
    const { settings, engine } = await reachController(deps, environment);
    const { dataDir, container } = settings.controller;
    const key = await readEscrowedKey(deps, environment);
    if (fingerprintOf(key) !== plan.key.fingerprint) {
      throw stepFailure(
        'IdentityMismatch',
        'the escrowed key is not the one that was proven: it changed since the plan',
        {
          hint: '`pgr abort`, then `pgr restore-controller` again',
        },
      );
    }
    const seen = await findContainer(engine, container);
    if (seen?.status === 'running' && (await readKeyFingerprint(dataDir)) === null) {
      throw stepFailure(
        'IdentityMismatch',
        `container ${container} was started meanwhile, without a key in ${dataDir}`,
        {
          hint: 'it has made its own: stop and remove it, move the data directory aside, then `pgr retry`',
        },
      );
    }
    return { outcome: await placeKey(dataDir, key), path: keyPathOf(dataDir), fingerprint: plan.key.fingerprint };
  };
}
