/** The restore of a controller as it usually goes, for workflow tests. */
import type { HostActivities } from '../../shared/contracts/activities.js';
import type { ControllerPlan, ProvenKey } from '../../shared/contracts/controller.js';
import { SYSTEM_IDENTIFIER } from './workflow-fixtures.js';

export type ControllerActivity =
  | 'proveControllerKey'
  | 'planController'
  | 'placeControllerKey'
  | 'startController'
  | 'setUpControllerUsers'
  | 'addControllerStorage'
  | 'addControllerDatabases';

const PROVEN_KEY: ProvenKey = {
  fingerprint: '0123456789abcdef',
  store: 'bucket',
  checks: [
    { check: 'key-custody', expected: 'the secret key opens the newest base', actual: 'it opens base 1', ok: true },
  ],
  isProven: true,
};

/** The plan that the stub makes. */
function controllerPlan(environment: string): ControllerPlan {
  return {
    environment,
    host: 'chicago',
    url: 'http://127.0.0.1:4005',
    container: 'databasus',
    image: 'databasus/databasus:v3.49.0',
    dataDir: '/srv/databasus',
    bucket: 'bucket',
    key: PROVEN_KEY,
    found: { container: 'absent', key: 'absent', api: 'silent', databases: [], storages: [] },
    changes: ['put the escrowed key into /srv/databasus/secret.key on host chicago (0600)'],
    unknown: ['the backups of the lost controller do not come back into its lists'],
    warnings: [],
    hash: 'controller-plan-hash-1',
  };
}

/** The activities around a controller. */
export function usualController(): Pick<HostActivities, ControllerActivity> {
  return {
    proveControllerKey: () => Promise.resolve(PROVEN_KEY),
    planController: ({ environment }) => Promise.resolve(controllerPlan(environment)),
    placeControllerKey: ({ plan }) =>
      Promise.resolve({ outcome: 'placed', path: `${plan.dataDir}/secret.key`, fingerprint: plan.key.fingerprint }),
    startController: ({ plan }) => Promise.resolve({ outcome: 'created', container: plan.container, seconds: 3 }),
    setUpControllerUsers: () => Promise.resolve({ outcome: 'set-up', made: ['workspace prod'] }),
    addControllerStorage: () => Promise.resolve({ outcome: 'added', id: 's1', name: 'r2' }),
    addControllerDatabases: () =>
      Promise.resolve({
        databases: [{ outcome: 'added', id: 'd1', name: 'shop', systemIdentifier: SYSTEM_IDENTIFIER, differs: [] }],
      }),
  };
}
