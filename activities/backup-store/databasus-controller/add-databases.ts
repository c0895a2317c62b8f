/** The databases of the config: looked for by name, added, pinned by system identifier, and only then their backups switched on. */
import type { AddDatabasesResult, AddedDatabase, ControllerStepInput } from '../../../shared/contracts/controller.js';
import { stepFailure } from '../../lib/failure.js';
import { faultPoint } from '../../lib/fault-points.js';
import { listDatabases, readBackupConfig, saveBackupConfig } from '../databasus-api/api.js';
import type { DatabaseRow } from '../databasus-api/schemas.js';
import { requireStorage } from './add-storage.js';
import { createDatabase, testConnection } from './admin-api.js';
import { reachController, requireWorkspace, type ControllerDeps, type Reach } from './reach.js';
import {
  configDifferences,
  databaseBody,
  databaseDifferences,
  enabledConfig,
  storageIdOf,
  type WantedDatabase,
} from './wanted.js';

export const FAULT_DATABASE = 'controller-databases:added';
export const FAULT_ENABLED = 'controller-databases:enabled';

/** What the codes of a connection test ask of a person. */
const CODES: Readonly<Record<string, string>> = {
  connection_failed: 'the controller does not reach it: check host, port and firewall as its container sees them',
  pg_hba_no_entry: 'add a line for the user and database replication to pg_hba.conf',
  bad_credentials: 'check user and password of the database in the config',
  no_replication_privilege: 'the role needs LOGIN REPLICATION, pg_monitor and pg_read_all_data',
  wal_level_invalid: 'set wal_level to replica',
  no_wal_senders: 'raise max_wal_senders',
  no_replication_slots: 'raise max_replication_slots, or drop slots of the lost controller that nobody uses',
  wal_summary_disabled: 'set summarize_wal to on',
  custom_tablespaces: 'a controller cannot back up a cluster with tablespaces',
};

type Place = { reach: Reach; workspaceId: string; storageId: string; resolveSecret: ControllerDeps['resolveSecret'] };

/** Activity `addControllerDatabases`. */
export function createAddControllerDatabases(deps: ControllerDeps) {
  return async function addControllerDatabases({ environment }: ControllerStepInput): Promise<AddDatabasesResult> {
    const reach = await reachController(deps, environment);
    const { id: workspaceId } = await requireWorkspace(reach);
    const { id: storageId } = await requireStorage(reach, workspaceId);
    const place = { reach, workspaceId, storageId, resolveSecret: deps.resolveSecret };
    const databases: AddedDatabase[] = [];
    for (const wanted of reach.settings.controller.databases) databases.push(await addDatabase(place, wanted));
    return { databases };
  };
}

async function addDatabase(place: Place, wanted: WantedDatabase): Promise<AddedDatabase> {
  const before = await findDatabase(place, wanted);
  if (before === null) await create(place, wanted);
  const row = before ?? (await findDatabase(place, wanted));
  if (row === null) throw stepFailure('CommandFailed', `database "${wanted.name}" was added and is not in the list`);
  const systemIdentifier = requirePin(place, row, wanted);
  const enabled = await enable(place, row, wanted);
  return {
    outcome: before === null || enabled.changed ? 'added' : 'already-there',
    id: row.id,
    name: row.name,
    systemIdentifier,
    differs: enabled.differs,
  };
}

async function findDatabase({ reach, workspaceId }: Place, wanted: WantedDatabase): Promise<DatabaseRow | null> {
  const named = (await listDatabases(reach.admin, workspaceId)).filter(({ name }) => name === wanted.name);
  const [found] = named;
  if (found === undefined) return null;
  const problems = [
    ...(named.length > 1 ? [`there are ${String(named.length)} of that name`] : []),
    ...named.flatMap((row) => databaseDifferences(row, wanted)),
  ];
  if (problems.length === 0) return found;
  throw stepFailure(
    'IdentityMismatch',
    `database "${found.name}" of the controller is not that of the config: ${problems.join('; ')}`,
    {
      hint: 'it was not touched; rename it in the controller or correct the config, then `pgr retry`',
    },
  );
}

async function create({ reach, workspaceId, resolveSecret }: Place, wanted: WantedDatabase): Promise<void> {
  const password = await resolveSecret(wanted.password);
  const body = databaseBody(wanted, workspaceId, password);
  const code = await testConnection(reach.admin, body, [password]);
  if (code !== null) {
    throw stepFailure(
      'PreconditionFailed',
      `the controller cannot back up "${wanted.name}" (${wanted.host}:${String(wanted.port)}): ${code}`,
      { hint: `${CODES[code] ?? 'mend what the code names'}; then \`pgr retry\`` },
    );
  }
  await createDatabase(reach.admin, body, [password]);
  faultPoint(FAULT_DATABASE);
}

/** The controller tells the system identifier once it has reached the server: backups of a wrong server are never switched on. */
function requirePin({ reach }: Place, row: DatabaseRow, wanted: WantedDatabase): string {
  const found = row.postgresqlPhysical?.systemIdentifier ?? '';
  const pin = pinOf(reach, wanted);
  if (found === '' || (pin !== null && pin !== found)) {
    throw stepFailure(
      'IdentityMismatch',
      `database "${row.name}" (${wanted.host}:${String(wanted.port)}) is of system ${found === '' ? 'unknown' : found}${pin === null ? '' : `, the config says ${pin}`}`,
      { hint: 'its backups were not switched on; delete it in the controller, correct the config, then `pgr retry`' },
    );
  }
  return found;
}

/** The pin of the store is that of the database which the store reads. */
function pinOf({ settings }: Reach, wanted: WantedDatabase): string | null {
  const { store, controller } = settings;
  const isOfStore = store.database === undefined ? controller.databases.length === 1 : store.database === wanted.name;
  return wanted.systemIdentifier ?? (isOfStore ? (store.systemIdentifier ?? null) : null);
}

/** Backups that are on already keep their settings: a shorter retention would delete what somebody wants. */
async function enable(
  { reach, storageId }: Place,
  { id, name }: DatabaseRow,
  wanted: WantedDatabase,
): Promise<{ changed: boolean; differs: string[] }> {
  const { admin } = reach;
  const current = await readBackupConfig(admin, id);
  if (current.isBackupsEnabled) return { changed: false, differs: configDifferences(current, wanted, storageId) };
  await saveBackupConfig(admin, enabledConfig(current, wanted, storageId));
  faultPoint(FAULT_ENABLED);
  const after = await readBackupConfig(admin, id);
  if (after.isBackupsEnabled && storageIdOf(after) === storageId && after['encryption'] === 'ENCRYPTED') {
    return { changed: true, differs: configDifferences(after, wanted, storageId) };
  }
  throw stepFailure('CommandFailed', `the controller took the settings of "${name}" and shows others`, {
    hint: 'look at the settings of its backups in the controller, then `pgr retry`',
  });
}
