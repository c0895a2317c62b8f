/**
 * Scenario: the restore of a controller from the plan to the end, with stub activities on a dev server.
 * Verified: 1 a plan makes nothing; 2 the key is proven first, and nothing is made before gate controller nor restored before gate proof; 3 a refusal ends
 * the run with nothing made; 4 evidence that does not hold stops before the base, and an abort drops the sandbox; 5 a gate that is opened again is planned again.
 */
import type { WorkflowHandle } from '@temporalio/client';

import { stepFailure } from '../../activities/lib/failure.js';
import type { ControllerResult } from '../../shared/contracts/controller.js';
import type { RestoreControllerInput } from '../../shared/contracts/runs.js';
import type { RunView } from '../../shared/contracts/status.js';
import {
  command,
  createWorkflowEnv,
  decide,
  eventually,
  failureOf,
  saveHistory,
  until,
  untilStatus,
  viewOf,
  type WorkflowEnv,
} from '../support/workflow-env.js';
import { gatePolicy } from '../support/workflow-fixtures.js';
import type { Scenario } from '../support/stub-activities.js';

jest.setTimeout(60_000);

let env: WorkflowEnv;
let scenario: Scenario;
beforeAll(async () => {
  env = await createWorkflowEnv();
});
afterAll(async () => {
  await env.stop();
});
beforeEach(() => {
  scenario = env.scenario();
  scenario.facts.controllerHost = scenario.hosts.standby;
});

const PLAN = ['readEnvironment', 'proveControllerKey', 'planController'];
const MAKE = [
  'placeControllerKey',
  'startController',
  'setUpControllerUsers',
  'addControllerStorage',
  'addControllerDatabases',
];
const PROOF = ['prepareSandbox', 'restoreBase', 'combineIncrementals', 'replayWal', 'verifySandbox', 'discardSandbox'];

const begin = (more: Partial<RestoreControllerInput> = {}) =>
  env.start('restoreController', `${scenario.environment}/change`, {
    environment: scenario.environment,
    requestedBy: 'ana',
    reason: 'the host of databasus is gone',
    requestedAt: new Date().toISOString(),
    ...more,
  });

const untilProof = (handle: WorkflowHandle): Promise<RunView> =>
  until(handle, (view) => view.status === 'waiting-approval' && view.gate?.name === 'proof');

test('key, gate, controller, gate, proof, base, report', async () => {
  const handle = await begin();
  const first = await untilStatus(handle, 'waiting-approval');
  expect(scenario.names()).toEqual(PLAN);
  expect(first.gate).toMatchObject({ name: 'controller', evidence: [{ check: 'key-custody' }] });
  expect(first.plan?.summary.join('\n')).toContain('fingerprint 0123456789abcdef');
  await decide(handle, 'approve', 'ben');
  const second = await untilProof(handle);
  expect(scenario.names()).toEqual([...PLAN, ...MAKE, 'planRecovery']);
  expect(scenario.inputsOf('planRecovery')).toMatchObject([{ store: 'bucket', target: { kind: 'latest' } }]);
  expect(second.gate?.evidence[0]?.actual).toContain('transaction 741');
  await decide(handle, 'approve', 'ben');
  const result = (await handle.result()) as ControllerResult;
  expect(result).toMatchObject({ outcome: 'restored', base: { id: 'base-2' }, databases: [{ name: 'shop' }] });
  expect(scenario.names()).toEqual([...PLAN, ...MAKE, 'planRecovery', ...PROOF, 'takeBase']);
  expect(scenario.inputsOf('takeBase')).toMatchObject([{ kind: 'full', node: 'dallas' }]);
  const view = await viewOf(handle);
  expect(view).toMatchObject({ status: 'completed', sandbox: { state: 'discarded' } });
  expect(view.next?.join('\n')).toContain('databasus_slot_%');
  await saveHistory(handle, 'restore-controller.restored');
});

test('a plan makes nothing', async () => {
  const handle = await begin({ planOnly: true });
  expect(await handle.result()).toMatchObject({ outcome: 'planned', plan: { container: 'databasus' } });
  expect(scenario.names()).toEqual(PLAN);
  await saveHistory(handle, 'restore-controller.planned');
});

test.each([
  ['CredentialsRefused', 'the escrowed key is not proven', 'proveControllerKey'],
  ['IdentityMismatch', 'the controller works with something else', 'planController'],
] as const)('%s ends the run with nothing made', async (type, message, activity) => {
  scenario.fail(activity, stepFailure(type, message));
  expect(await failureOf(await begin())).toMatchObject({ type, message });
  expect(scenario.names().filter((name) => MAKE.includes(name))).toEqual([]);
});

test('an environment without a controller is refused', async () => {
  delete scenario.facts.controllerHost;
  expect(await failureOf(await begin())).toMatchObject({ type: 'ConfigInvalid' });
});

test('rejected at the first gate nothing is made, at the second nothing is restored', async () => {
  const handle = await begin();
  await untilStatus(handle, 'waiting-approval');
  await decide(handle, 'reject', 'ben');
  expect(await failureOf(handle)).toMatchObject({ type: 'RunRejected' });
  expect(scenario.names()).toEqual(PLAN);

  const next = await begin();
  await untilStatus(next, 'waiting-approval');
  await decide(next, 'approve', 'ben');
  await untilProof(next);
  await decide(next, 'reject', 'ben');
  expect(await failureOf(next)).toMatchObject({ type: 'RunRejected' });
  expect(scenario.names().filter((name) => PROOF.includes(name) || name === 'takeBase')).toEqual([]);
});

test('a gate that expired is opened again on what is true then', async () => {
  scenario.facts.approvals['controller'] = gatePolicy({ expiresInSeconds: 1 });
  const handle = await begin();
  expect((await untilStatus(handle, 'needs-attention')).failure).toMatchObject({ code: 'GateExpired' });
  await command(handle, 'retry');
  const again = [...PLAN, 'proveControllerKey', 'planController'];
  await eventually(() => scenario.names().length === again.length, 'a second look');
  expect(scenario.names()).toEqual(again);
  await command(handle, 'abort');
  expect(await failureOf(handle)).toMatchObject({ type: 'RunAborted' });
  expect(scenario.names().filter((name) => MAKE.includes(name))).toEqual([]);
});

test('a step that failed is tried again; evidence that does not hold never comes to the base, and an abort drops the sandbox', async () => {
  const bad = { check: 'checksums', expected: 'good', actual: '1 bad page', ok: false };
  scenario.fail('startController', stepFailure('CommandFailed', 'container databasus was not made'));
  scenario.on('verifySandbox', () => Promise.resolve({ ok: false, checks: [bad], counts: [], seconds: 1 }));
  const handle = await begin();
  await untilStatus(handle, 'waiting-approval');
  await decide(handle, 'approve', 'ben');
  expect((await untilStatus(handle, 'needs-attention')).failure).toMatchObject({ step: 'start-controller' });
  await command(handle, 'retry');
  await untilProof(handle);
  await decide(handle, 'approve', 'ben');
  expect((await untilStatus(handle, 'needs-attention')).failure).toMatchObject({
    step: 'prove-restore',
    code: 'EvidenceFailed',
  });
  await command(handle, 'abort');
  expect(await failureOf(handle)).toMatchObject({ type: 'RunAborted' });
  expect(scenario.names().at(-1)).toBe('discardSandbox');
  expect(scenario.names()).not.toContain('takeBase');
});
