/** The plan of a controller as lines for people, and what is left for them afterwards. */
import type { AddedDatabase, ControllerPlan } from './contracts/controller.js';
import type { PlanView } from './contracts/status.js';

/** The plan of `restore-controller`. */
export function controllerPlanView(plan: ControllerPlan): PlanView {
  const { found, key } = plan;
  return {
    hash: plan.hash,
    summary: [
      `controller of ${plan.environment} at ${plan.url}: container ${plan.container} (${plan.image}) on host ${plan.host}`,
      `key: fingerprint ${key.fingerprint}; ${key.checks.find(({ check }) => check === 'key-custody')?.actual ?? 'not tried'} (store ${key.store})`,
      `found: container ${found.container}, key ${found.key} in ${plan.dataDir}, controller ${found.api}${namesOf(' with databases', found.databases)}${namesOf(', storages', found.storages)}`,
      ...plan.changes.map((change) => `will: ${change}`),
      ...plan.unknown.map((text) => `not brought back: ${text}`),
      ...plan.warnings.map((warning) => `warning: ${warning}`),
    ],
  };
}

function namesOf(title: string, names: readonly string[]): string {
  return names.length === 0 ? '' : `${title} ${names.join(', ')}`;
}

/** Commands for a person, once a restore was proven and a base taken. */
export function controllerCommands(plan: ControllerPlan, databases: readonly AddedDatabase[]): string[] {
  return [
    `pgr check ${plan.environment}`,
    `pgr window ${plan.environment} --store ${plan.bucket}   # what the lost controller backed up is read here`,
    'psql -c "select slot_name, active, pg_size_pretty(pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)) as held from pg_replication_slots where slot_name like \'databasus_slot_%\' and not active"   # on each server: slots of the lost controller',
    'psql -c "select pg_drop_replication_slot(\'SLOT\')"   # for each of them that is not of the new controller',
    ...databases.flatMap(({ name, differs }) =>
      differs.map((text) => `compare the settings of database "${name}" in the controller: ${text}`),
    ),
    'add by hand what the config does not name: notifiers, logical databases, further users',
  ];
}
