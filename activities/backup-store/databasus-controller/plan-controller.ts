/** Looks at everything and says what is missing. A controller that works, or another one's data, is never touched: refused here. */
import type { ControllerPlan, PlanControllerInput } from '../../../shared/contracts/controller.js';
import { controllerPlanHashOf } from '../../../shared/plan-hash.js';
import type { SeenContainer } from '../../lib/containers.js';
import { stepFailure } from '../../lib/failure.js';
import { readKeyFingerprint, requireSameKey } from './key-file.js';
import { findContainer, lookAtApi, requireOurContainer, strangerAt, type ApiState } from './look.js';
import { reachController, type ControllerDeps } from './reach.js';
import type { ControllerSettings } from './settings.js';
import { databaseDifferences, storageDifferences } from './wanted.js';

/** Activity `planController`. */
export function createPlanController(deps: ControllerDeps) {
  return async function planController({ environment, key }: PlanControllerInput): Promise<ControllerPlan> {
    const { settings, engine, http, admin } = await reachController(deps, environment);
    const { controller, store } = settings;
    const container = await findContainer(engine, controller.container);
    if (container !== null) await requireOurContainer(container, controller);
    const found = await readKeyFingerprint(controller.dataDir);
    if (found !== null) requireSameKey(controller.dataDir, found, key.fingerprint);
    const isRunning = container?.status === 'running';
    if (isRunning && found === null) throw keyless(container.name, controller.dataDir);
    const api = await lookAtApi(http, admin);
    if (api.state !== 'silent' && !isRunning) throw strangerAt(store.url, controller);
    refuseOthers(api, settings);
    const plan: Omit<ControllerPlan, 'hash'> = {
      environment,
      host: controller.host,
      url: store.url,
      container: controller.container,
      image: controller.image,
      dataDir: controller.dataDir,
      bucket: controller.bucket,
      key,
      found: foundOf(container, found, api),
      changes: changesOf(settings, container, found, api),
      unknown: unknownOf(settings),
      warnings: warningsOf(key.isProven, settings, container, api),
    };
    return { ...plan, hash: controllerPlanHashOf(plan) };
  };
}

function foundOf(container: SeenContainer | null, key: string | null, api: ApiState): ControllerPlan['found'] {
  const names = (rows: readonly { name: string }[]): string[] => rows.map(({ name }) => name).sort();
  return {
    container: container === null ? 'absent' : container.status === 'running' ? 'running' : 'stopped',
    key: key === null ? 'absent' : 'there',
    api: api.state,
    databases: api.state === 'ours' ? names(api.databases) : [],
    storages: api.state === 'ours' ? names(api.storages) : [],
  };
}

function keyless(container: string, dataDir: string): Error {
  return stepFailure(
    'IdentityMismatch',
    `container ${container} runs, and there is no key in ${dataDir}: it works with a key that nobody here knows`,
    { hint: 'nothing was touched; look where its /databasus-data is, and correct backups.controller.dataDir' },
  );
}

/** A controller with other databases, or with the same ones elsewhere, is somebody's. */
function refuseOthers(api: ApiState, { controller, bucket, store }: ControllerSettings): void {
  if (api.state !== 'ours') return;
  const physical = api.databases.filter(({ type }) => type === 'POSTGRES_PHYSICAL');
  const problems = physical.flatMap((row) => {
    const wanted = controller.databases.find(({ name }) => name === row.name);
    if (wanted === undefined) return [`database "${row.name}" is not in the config`];
    return databaseDifferences(row, wanted).map((text) => `database "${row.name}": ${text}`);
  });
  const storage = api.storages.find(({ name }) => name === controller.storage.name);
  if (storage !== undefined)
    problems.push(
      ...storageDifferences(storage, controller, bucket).map((text) => `storage "${storage.name}": ${text}`),
    );
  if (problems.length === 0) return;
  throw stepFailure(
    'IdentityMismatch',
    `the controller at ${store.url} works with something else: ${problems.join('; ')}`,
    {
      hint: 'nothing was touched; correct backups.controller in the config, or what the message names in the controller',
    },
  );
}

function changesOf(
  { controller, store }: ControllerSettings,
  container: SeenContainer | null,
  key: string | null,
  api: ApiState,
): string[] {
  const none: { databases: { name: string }[]; storages: { name: string }[]; workspaces: string[] } = {
    databases: [],
    storages: [],
    workspaces: [],
  };
  const there = api.state === 'ours' ? api : none;
  const has = (list: readonly { name: string }[], name: string): boolean => list.some((one) => one.name === name);
  const { storage, workspace, dataDir, host } = controller;
  return [
    ...(key === null ? [`put the escrowed key into ${dataDir}/secret.key on host ${host} (0600)`] : []),
    ...(container === null ? [`create container ${controller.container} of ${controller.image}`] : []),
    ...(container?.status === 'running' ? [] : [`start container ${controller.container}, wait for ${store.url}`]),
    ...(api.state === 'ours' ? [] : [`set the password of ${controller.admin.email}`]),
    ...(there.workspaces.includes(workspace) ? [] : [`make workspace ${workspace}`]),
    ...(has(there.storages, storage.name) ? [] : [`add storage ${storage.name}, tested before`]),
    ...controller.databases
      .filter(({ name }) => !has(there.databases, name))
      .map(({ name, host, port }) => `add database "${name}" (${host}:${String(port)}), switch its backups on`),
    `restore the newest state of store ${controller.bucket} into a sandbox, and take a full base (gate proof)`,
  ];
}

function unknownOf({ controller }: ControllerSettings): string[] {
  return [
    `the backups of the lost controller do not come back into its lists: store ${controller.bucket} reads their objects`,
    'the new controller does not know those objects; by what was seen it leaves them alone, but no release of it promises that: a bucket with versions, or a prefix of its own for the new one, takes the doubt away',
    'notifiers, logical databases, further users and schedules that the config does not name have to be added by hand',
    'replication slots of the lost controller stay on the servers and hold back WAL until they are dropped by hand',
  ];
}

function warningsOf(
  isProven: boolean,
  { controller }: ControllerSettings,
  container: SeenContainer | null,
  api: ApiState,
): string[] {
  const logical = api.state === 'ours' ? api.databases.filter(({ type }) => type !== 'POSTGRES_PHYSICAL') : [];
  return [
    ...(isProven ? [] : ['the newest base is not encrypted: nothing shows that the escrowed key is the right one']),
    ...(/:[^/]+$|@sha256:/.test(controller.image)
      ? []
      : [`image ${controller.image} has no tag: another version may come`]),
    ...(container?.status === 'running' && api.state === 'silent'
      ? [`container ${container.name} runs and does not answer: ${api.why}`]
      : []),
    ...logical.map(({ name }) => `database "${name}" of the controller is not a physical one and is left alone`),
  ];
}
