/**
 * Scenario: the host of the controller is lost and the steps of restore-controller make it anew, over a stand-in of docker and of the controller's API.
 * Verified: (1) from the plan to enabled backups, each step twice is once; (2) killed by SIGKILL after every change, the next attempt ends in the same
 * state with nothing made twice; (3) what is somebody else's (key, controller, container, storage, database) is refused and stays as it is; (4) no secret
 * is in an argument, a result or a message.
 */
import { mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';

import * as databases from '../../../activities/backup-store/databasus-controller/add-databases.js';
import { FAULT_STORAGE } from '../../../activities/backup-store/databasus-controller/add-storage.js';
import { createControllerActivities } from '../../../activities/backup-store/databasus-controller/index.js';
import { FAULT_KEY_WRITTEN } from '../../../activities/backup-store/databasus-controller/key-file.js';
import * as users from '../../../activities/backup-store/databasus-controller/set-up-users.js';
import * as start from '../../../activities/backup-store/databasus-controller/start-controller.js';
import type { ControllerPlan, ControllerStepInput } from '../../../shared/contracts/controller.js';
import { ENVIRONMENT, KEY, makeControllerScene, type ControllerScene } from '../../support/controller-scene.js';
import {
  HOST_WITHOUT_SUMMARY,
  OTHER_HOST,
  REFUSED_BUCKET,
  startFirstRun,
  SYSTEM,
} from '../../support/first-run-controller.js';
import { createKillableSteps, type KillableSteps } from '../../support/killed-step.js';

jest.setTimeout(120_000);

let steps: KillableSteps;
let scene: ControllerScene;

beforeAll(async () => {
  steps = await createKillableSteps('controller-child');
});
afterAll(async () => steps.destroy());
beforeEach(async () => {
  scene = await makeControllerScene();
});
afterEach(async () => scene.destroy());

type Activities = ReturnType<typeof createControllerActivities>;
const STEPS = [
  'placeControllerKey',
  'startController',
  'setUpControllerUsers',
  'addControllerStorage',
  'addControllerDatabases',
] as const;
type Step = (typeof STEPS)[number];

const activities = (): Activities => createControllerActivities(scene.deps);
const plan = (): Promise<ControllerPlan> => activities().planController({ environment: ENVIRONMENT, key: scene.key });
const inputOf = (made: ControllerPlan): ControllerStepInput => ({
  environment: ENVIRONMENT,
  run: 'shop/change',
  plan: made,
});
const keyFile = (): string => path.join(scene.dataDir, 'secret.key');
const containers = async (): Promise<unknown[]> =>
  JSON.parse(await readFile(path.join(scene.dir, 'containers.json'), 'utf8').catch(() => '[]')) as unknown[];

/** All steps up to the named one, that one included. */
async function through(last: Step, input: ControllerStepInput): Promise<unknown[]> {
  const done: unknown[] = [];
  for (const step of STEPS.slice(0, STEPS.indexOf(last) + 1)) done.push(await activities()[step](input));
  return done;
}

async function isComplete(): Promise<void> {
  expect(await readFile(keyFile(), 'utf8')).toBe(KEY);
  expect(await containers()).toHaveLength(1);
  const { workspaces, storages, databases: rows, users: members, configs } = scene.state();
  expect(workspaces).toEqual([
    expect.objectContaining({
      name: 'prod',
      members: {
        admin: 'WORKSPACE_OWNER',
        'restore@example.com': 'WORKSPACE_VIEWER',
        'pgr@example.com': 'WORKSPACE_MEMBER',
      },
    }),
  ]);
  expect(Object.keys(members)).toHaveLength(2);
  expect(storages).toHaveLength(1);
  expect(rows).toHaveLength(1);
  expect(Object.values(configs)).toEqual([
    expect.objectContaining({
      ...{ isBackupsEnabled: true, encryption: 'ENCRYPTED', retention: 'CHAINS', storage: { id: storages[0]?.id } },
      sendNotificationsOn: [],
    }),
  ]);
}

test('from nothing to enabled backups; every step twice is once, and a second plan has nothing left to make', async () => {
  const first = await plan();
  expect(first.found).toEqual({ container: 'absent', key: 'absent', api: 'silent', databases: [], storages: [] });
  expect(first.changes[0]).toContain('put the escrowed key');
  await expect(stat(scene.dataDir)).rejects.toThrow('ENOENT');
  const results = await through('addControllerDatabases', inputOf(first));
  expect(results).toMatchObject([
    { outcome: 'placed', fingerprint: scene.key.fingerprint },
    { outcome: 'created', container: 'databasus' },
    { outcome: 'set-up' },
    { outcome: 'added', name: 'r2' },
    { databases: [{ outcome: 'added', name: 'Cluster PITR', systemIdentifier: SYSTEM, differs: [] }] },
  ]);
  expect((await stat(keyFile())).mode & 0o777).toBe(0o600);
  await isComplete();
  const again = await through('addControllerDatabases', inputOf(first));
  expect(again).toMatchObject([
    { outcome: 'already-there' },
    { outcome: 'already-running' },
    { outcome: 'already-there', made: [] },
    { outcome: 'already-there' },
    { databases: [{ outcome: 'already-there' }] },
  ]);
  await isComplete();
  const second = await plan();
  expect(second.found).toMatchObject({ container: 'running', key: 'there', api: 'ours', databases: ['Cluster PITR'] });
  expect(second.changes).toHaveLength(1);
  const said = JSON.stringify([first, second, results, again, await containers()]);
  for (const secret of scene.secrets) expect(said).not.toContain(secret);
});

test.each<[string, Step]>([
  [FAULT_KEY_WRITTEN, 'placeControllerKey'],
  [start.FAULT_CREATED, 'startController'],
  [start.FAULT_STARTED, 'startController'],
  [users.FAULT_ADMIN, 'setUpControllerUsers'],
  [users.FAULT_WORKSPACE, 'setUpControllerUsers'],
  [users.FAULT_USER, 'setUpControllerUsers'],
  [FAULT_STORAGE, 'addControllerStorage'],
  [databases.FAULT_DATABASE, 'addControllerDatabases'],
  [databases.FAULT_ENABLED, 'addControllerDatabases'],
])('killed at %s, the next attempt ends in the same state', async (fault, step) => {
  const input = inputOf(await plan());
  const before = STEPS[STEPS.indexOf(step) - 1];
  if (before !== undefined) await through(before, input);
  await expect(steps.killAt(fault, step, scene.configFile, input)).resolves.toBe(true);
  await through('addControllerDatabases', input);
  await isComplete();
});

test('a controller that was killed is started again with what it had', async () => {
  const input = inputOf(await plan());
  await through('addControllerDatabases', input);
  await scene.kill();
  await expect(plan()).resolves.toMatchObject({ found: { container: 'stopped', key: 'there', api: 'silent' } });
  await expect(activities().startController(input)).resolves.toMatchObject({ outcome: 'started' });
  await isComplete();
});

describe('the key', () => {
  test.each([
    ['of another controller', KEY.replace('0', '1')],
    ['with a newline', `${KEY}\n`],
  ])('%s in the data directory is refused and stays as it is', async (_title, text) => {
    await mkdir(scene.dataDir);
    await writeFile(keyFile(), text);
    await expect(plan()).rejects.toMatchObject({ type: 'IdentityMismatch' });
    const made = { ...(await planWithoutLooking()) };
    await expect(activities().placeControllerKey(inputOf(made))).rejects.toMatchObject({ type: 'IdentityMismatch' });
    await expect(activities().startController(inputOf(made))).rejects.toMatchObject({ type: 'IdentityMismatch' });
    expect(await readFile(keyFile(), 'utf8')).toBe(text);
    expect(await containers()).toEqual([]);
  });

  test('a container is never started without its key', async () => {
    await expect(activities().startController(inputOf(await plan()))).rejects.toMatchObject({
      type: 'IdentityMismatch',
    });
    expect(await containers()).toEqual([]);
  });

  test('a controller that was started first has made its own: found by plan and by the step', async () => {
    const made = await plan();
    await through('startController', inputOf(made));
    await scene.kill();
    await writeFile(keyFile(), KEY.replace('0', '1'));
    await expect(plan()).rejects.toMatchObject({
      type: 'IdentityMismatch',
      message: expect.stringContaining('another key') as string,
    });
  });

  test('that changed in escrow since the plan is not placed', async () => {
    const made = await plan();
    await writeFile(path.join(scene.dir, 'key'), KEY.replace('0', '1'));
    await expect(activities().placeControllerKey(inputOf(made))).rejects.toThrow('it changed since the plan');
    await expect(stat(keyFile())).rejects.toThrow('ENOENT');
  });
});

/** A plan of before somebody put something in the way. */
async function planWithoutLooking(): Promise<ControllerPlan> {
  const { dataDir } = scene;
  await scene.change({ dataDir: `${dataDir}-empty` });
  const made = await plan();
  await scene.change({});
  return { ...made, dataDir };
}

describe('what is somebody else’s is refused', () => {
  test('a controller that answers and is not the container of this host', async () => {
    const before = inputOf(await plan());
    await activities().placeControllerKey(before);
    const elsewhere = path.join(scene.dir, 'elsewhere');
    await mkdir(elsewhere);
    const { server } = await startFirstRun(elsewhere, Number(new URL(urlOf()).port));
    try {
      const another = { type: 'IdentityMismatch', message: expect.stringContaining('it is another one') as string };
      await expect(plan()).rejects.toMatchObject(another);
      await expect(activities().startController(before)).rejects.toMatchObject(another);
      expect(await containers()).toEqual([]);
    } finally {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    }
  });

  test('a controller with other databases, another source or another bucket', async () => {
    await through('addControllerDatabases', inputOf(await plan()));
    const source = { name: 'Cluster PITR', host: '10.0.0.2', user: 'r', password: `file:${scene.dir}/source` };
    await scene.change({ databases: [source] });
    await expect(plan()).rejects.toThrow('host is 10.0.0.1, not 10.0.0.2');
    await scene.change({ databases: [{ ...source, name: 'Another' }] });
    await expect(plan()).rejects.toThrow('database "Cluster PITR" is not in the config');
    await scene.change({}, { bucket: 'another' });
    await expect(plan()).rejects.toThrow('bucket is backups, not another');
    await isComplete();
  });

  test('a controller with another admin password', async () => {
    await through('setUpControllerUsers', inputOf(await plan()));
    await writeFile(path.join(scene.dir, 'admin'), 'another password');
    await expect(plan()).rejects.toMatchObject({ type: 'CredentialsRefused' });
  });

  test('a container of that name with another image or another data directory', async () => {
    await through('startController', inputOf(await plan()));
    await scene.kill();
    await scene.change({ image: 'databasus/databasus:v3.44.0' });
    await expect(plan()).rejects.toThrow('its image is databasus/databasus:v3.49.0');
    await scene.change({ dataDir: `${scene.dataDir}-other` });
    await expect(plan()).rejects.toThrow('the name databasus is taken');
  });
});

test('an engine that does not answer is not "no container"', async () => {
  await writeFile(
    path.join(scene.dir, 'bin/docker'),
    '#!/bin/sh\necho "Cannot connect to the Docker daemon" >&2; exit 1\n',
  );
  await expect(plan()).rejects.toMatchObject({
    type: 'PreconditionFailed',
    message: expect.stringContaining('cannot tell whether container databasus is there') as string,
  });
});

test('a host without the docker command is not "no container"', async () => {
  const before = process.env['PATH'];
  process.env['PATH'] = scene.dataDir;
  try {
    await expect(plan()).rejects.toMatchObject({
      type: 'PreconditionFailed',
      details: [{ hint: expect.stringContaining('install the docker command') as string }],
    });
  } finally {
    process.env['PATH'] = before;
  }
});

test('an image that cannot be had is said, and the next attempt goes on', async () => {
  await scene.change({ image: 'missing:v1' });
  const input = inputOf(await plan());
  await activities().placeControllerKey(input);
  await expect(activities().startController(input)).rejects.toMatchObject({
    type: 'CommandFailed',
    message: expect.stringContaining("Unable to find image 'missing:v1'") as string,
  });
  await scene.change({});
  await through('addControllerDatabases', input);
  await isComplete();
});

test('a storage that refuses is not added, and its answer does not give the secret away', async () => {
  await scene.change({}, { bucket: REFUSED_BUCKET });
  const input = inputOf(await plan());
  await through('setUpControllerUsers', input);
  const refused = activities().addControllerStorage(input);
  await expect(refused).rejects.toMatchObject({
    type: 'PreconditionFailed',
    message: expect.stringContaining('access denied for key ***') as string,
  });
  expect(scene.state().storages).toEqual([]);
});

test('a source that cannot be backed up is said with what it needs, and not added', async () => {
  const source = { name: 'Cluster PITR', host: HOST_WITHOUT_SUMMARY, user: 'r', password: `file:${scene.dir}/source` };
  await scene.change({ databases: [source] });
  await expect(through('addControllerDatabases', inputOf(await plan()))).rejects.toMatchObject({
    message: expect.stringContaining('wal_summary_disabled') as string,
    details: [{ hint: expect.stringContaining('set summarize_wal to on') as string }],
  });
  expect(scene.state().databases).toEqual([]);
});

test('backups of a server of another system are never switched on', async () => {
  const source = { name: 'Cluster PITR', host: OTHER_HOST, user: 'r', password: `file:${scene.dir}/source` };
  await scene.change({ databases: [source] });
  await expect(through('addControllerDatabases', inputOf(await plan()))).rejects.toMatchObject({
    type: 'IdentityMismatch',
  });
  expect(Object.values(scene.state().configs)).toMatchObject([{ isBackupsEnabled: false }]);
});

test('settings of backups that are on already are left, and the differences said', async () => {
  const input = inputOf(await plan());
  await through('addControllerDatabases', input);
  const source = {
    name: 'Cluster PITR',
    host: '10.0.0.1',
    user: 'r',
    password: `file:${scene.dir}/source`,
    keepChains: 1,
  };
  await scene.change({ databases: [source] });
  await expect(activities().addControllerDatabases(input)).resolves.toMatchObject({
    databases: [{ outcome: 'already-there', differs: ['chainsRetention is {"count":2}, not {"count":1}'] }],
  });
});

test('a controller that does not become healthy is said with the state of its container', async () => {
  const input = inputOf(await plan());
  await activities().placeControllerKey(input);
  await writeFile(path.join(scene.dir, 'controller-program.cjs'), 'setInterval(() => undefined, 1000);');
  const startOnce = start.createStartController(scene.deps, 1_500);
  await expect(startOnce(input)).rejects.toMatchObject({
    type: 'StoreUnavailable',
    message: expect.stringContaining('container databasus is running') as string,
  });
});

function urlOf(): string {
  const { backups } = scene.deps.config.environments[ENVIRONMENT] ?? {};
  return backups?.kind === 'databasus' ? backups.url : '';
}
