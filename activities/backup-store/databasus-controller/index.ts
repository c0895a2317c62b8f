/** The activities of `restore-controller`, on the host of its container. */
import type { HostActivities } from '../../../shared/contracts/activities.js';
import { createAddControllerDatabases } from './add-databases.js';
import { createAddControllerStorage } from './add-storage.js';
import { createPlaceControllerKey } from './place-key.js';
import { createPlanController } from './plan-controller.js';
import { createProveControllerKey } from './prove-key.js';
import type { ControllerDeps } from './reach.js';
import { createSetUpControllerUsers } from './set-up-users.js';
import { createStartController } from './start-controller.js';

type ControllerActivity =
  | 'proveControllerKey'
  | 'planController'
  | 'placeControllerKey'
  | 'startController'
  | 'setUpControllerUsers'
  | 'addControllerStorage'
  | 'addControllerDatabases';

/** All of them. */
export function createControllerActivities(deps: ControllerDeps): Pick<HostActivities, ControllerActivity> {
  return {
    proveControllerKey: createProveControllerKey(deps),
    planController: createPlanController(deps),
    placeControllerKey: createPlaceControllerKey(deps),
    startController: createStartController(deps),
    setUpControllerUsers: createSetUpControllerUsers(deps),
    addControllerStorage: createAddControllerStorage(deps),
    addControllerDatabases: createAddControllerDatabases(deps),
  };
}
