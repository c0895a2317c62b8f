import type { AddStorageResult, ControllerStepInput } from '../../../shared/contracts/controller.js';
import { stepFailure } from '../../lib/failure.js';
import { faultPoint } from '../../lib/fault-points.js';
import { readCredentials } from '../s3-access.js';
import { createStorage, listStorages, testStorage, type StorageRow } from './admin-api.js';
import { reachController, requireWorkspace, type ControllerDeps, type Reach } from './reach.js';
import { storageBody, storageDifferences } from './wanted.js';

export const FAULT_STORAGE = 'controller-storage:added';

/** Activity `addControllerStorage`: the controller proves that it reaches the bucket before the storage is added. */
export function createAddControllerStorage(deps: ControllerDeps) {
  return async function addControllerStorage({ environment }: ControllerStepInput): Promise<AddStorageResult> {
    const reach = await reachController(deps, environment);
    const { controller, bucket } = reach.settings;
    const workspace = await requireWorkspace(reach);
    const credentials = await readCredentials(controller.storage, deps.resolveSecret);
    const secrets = Object.values(credentials);
    const body = storageBody(controller, bucket, workspace.id, credentials);
    await testStorage(reach.admin, body, secrets);
    const before = await findStorage(reach, workspace.id);
    if (before !== null) return { outcome: 'already-there', id: before.id, name: before.name };
    await createStorage(reach.admin, body, secrets);
    faultPoint(FAULT_STORAGE);
    const { id, name } = await requireStorage(reach, workspace.id);
    return { outcome: 'added', id, name };
  };
}

/** The storage of the config; null when there is none. Throws IdentityMismatch for one of that name that is another bucket. */
async function findStorage({ admin, settings }: Reach, workspaceId: string): Promise<StorageRow | null> {
  const { controller, bucket } = settings;
  const named = (await listStorages(admin, workspaceId)).filter(({ name }) => name === controller.storage.name);
  const [found] = named;
  if (found === undefined) return null;
  const problems = [
    ...(named.length > 1 ? [`there are ${String(named.length)} of that name`] : []),
    ...named.flatMap((row) => storageDifferences(row, controller, bucket)),
  ];
  if (problems.length === 0) return found;
  throw stepFailure(
    'IdentityMismatch',
    `storage "${found.name}" of the controller is not that of the config: ${problems.join('; ')}`,
    {
      hint: 'it was not touched; rename it in the controller or correct backups.controller.storage, then `pgr retry`',
    },
  );
}

/** The storage that an earlier step added. */
export async function requireStorage(reach: Reach, workspaceId: string): Promise<StorageRow> {
  const found = await findStorage(reach, workspaceId);
  if (found !== null) return found;
  throw stepFailure('NotFound', `the controller has no storage "${reach.settings.controller.storage.name}"`, {
    hint: 'start `pgr restore-controller` again: it makes what is missing',
  });
}
