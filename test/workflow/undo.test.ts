/**
 * Scenario: a finished promotion is undone, and short read workflows answer.
 * Verified: 1 nothing happens before the approval at gate undo; 2 the kept data of the promote run are meant, not of this run; 3 an abort
 * of an undo brings the promoted cluster back; 4 reads fail typed.
 */
import { stepFailure } from '../../activities/lib/failure.js';
import type { UndoInput } from '../../shared/contracts/runs.js';
import type { Scenario } from '../support/stub-activities.js';
import {
  command,
  createWorkflowEnv,
  decide,
  failureOf,
  saveHistory,
  untilStatus,
  viewOf,
  type WorkflowEnv,
} from '../support/workflow-env.js';
import { promotionPlan, recoveryPlan, SYSTEM_IDENTIFIER } from '../support/workflow-fixtures.js';

jest.setTimeout(60_000);

let env: WorkflowEnv;
beforeAll(async () => {
  env = await createWorkflowEnv();
});
afterAll(async () => {
  await env.stop();
});

function undoInput({ environment, hosts }: Scenario): UndoInput {
  const ref = { environment, run: `${environment}/pitr/1`, runId: 'run-1', sandbox: 'run-1', host: hosts.primary };
  return {
    environment,
    requestedBy: 'ana',
    reason: 'the wrong second',
    requestedAt: new Date().toISOString(),
    ofRun: `${environment}/change`,
    promotion: {
      outcome: 'promoted',
      run: `${environment}/change`,
      runId: 'promote-run-id',
      environment,
      plan: promotionPlan(environment, ref, hosts, 'promote-run-id'),
      recovery: recoveryPlan(environment, hosts.primary),
      timeline: 2,
      rebuilt: ['chicago'],
      measured: { writeOutageMs: 1, rtoSeconds: 1, rpoSeconds: 1 },
      lost: { until: null, seconds: 0, commits: 0, exact: true },
    },
  };
}

test('brings the old cluster back after the approval, from the kept data of the promote run', async () => {
  const scenario = env.scenario();
  const { environment, hosts } = scenario;
  const handle = await env.start('undo', `${environment}/change`, undoInput(scenario));
  const waiting = await untilStatus(handle, 'waiting-approval');
  expect(waiting.gate).toMatchObject({ name: 'undo' });
  expect(scenario.names()).toEqual(['readEnvironment', 'planUndo']);
  expect(scenario.inputsOf('planUndo')).toMatchObject([{ runId: 'promote-run-id', ofRun: `${environment}/change` }]);
  await decide(handle, 'approve', 'ben');
  await expect(handle.result()).resolves.toMatchObject({ outcome: 'undone', timeline: 1, rebuilt: [] });
  expect(scenario.names().slice(2)).toEqual([
    'stopApp',
    'fenceNode',
    'fenceNode',
    'swapOut',
    'swapOut',
    'returnOldData',
    'returnOldData',
    'abandonTimeline',
    'startNode',
    'startNode',
    'verifyWrites',
    'startApp',
  ]);
  const dallas = {
    environment,
    node: 'dallas',
    run: `${environment}/change`,
    runId: 'promote-run-id',
    expect: { systemIdentifier: SYSTEM_IDENTIFIER, dataDir: '/srv/dallas/data', host: hosts.primary },
  };
  expect(scenario.inputsOf('returnOldData')[0]).toEqual(dallas);
  expect(scenario.inputsOf('abandonTimeline')).toMatchObject([{ environment, timeline: 2 }]);
  expect(scenario.inputsOf('verifyWrites')).toEqual([{ environment, expectNode: 'dallas', expectTimeline: 1 }]);
  await saveHistory(handle, 'undo.approved');
});

test('an abort of the undo puts the promoted cluster back', async () => {
  const scenario = env.scenario().fail('verifyWrites', stepFailure('PreconditionFailed', 'writes do not arrive'), 99);
  const handle = await env.start('undo', `${scenario.environment}/change`, undoInput(scenario));
  await untilStatus(handle, 'waiting-approval');
  await decide(handle, 'approve', 'ben');
  await untilStatus(handle, 'needs-attention');
  const before = scenario.names().length;
  await command(handle, 'abort');
  await expect(failureOf(handle)).resolves.toMatchObject({ type: 'RunAborted' });
  expect(scenario.names().slice(before)).toEqual([
    'keepOldData',
    'keepOldData',
    'swapIn',
    'swapIn',
    'startNode',
    'startNode',
    'startApp',
  ]);
  expect((await viewOf(handle)).status).toBe('aborted');
});

test('window, check and audit answer, and takeBase takes one from the node that is named', async () => {
  const scenario = env.scenario();
  const { environment } = scenario;
  const window = await env.start('window', `${environment}/window/1`, { environment });
  await expect(window.result()).resolves.toMatchObject({ environment, latest: '2026-11-21T03:42:29.000000Z' });
  await saveHistory(window, 'window.answered');
  const check = await env.start('check', `${environment}/check/1`, { environment });
  await expect(check.result()).resolves.toMatchObject({ checks: [{ ok: true }, { ok: true }] });
  const audit = await env.start('audit', `${environment}/audit/1`, { action: 'verify' });
  await expect(audit.result()).resolves.toMatchObject({ action: 'verify', report: { problems: [] } });
  const request = {
    environment,
    requestedBy: 'ana',
    reason: 'lab',
    requestedAt: new Date().toISOString(),
    kind: 'full',
  };
  const base = await env.start('takeBase', `${environment}/base/1`, { ...request, node: 'chicago' });
  await expect(base.result()).resolves.toMatchObject({ id: 'base-2', kind: 'full' });
  expect(scenario.inputsOf('takeBase')).toMatchObject([
    { node: 'chicago', run: `${environment}/base/1`, kind: 'full' },
  ]);
});

test('a read that fails says so typed, with its hint', async () => {
  const scenario = env.scenario();
  const { environment } = scenario;
  scenario.fail('readWindow', stepFailure('CredentialsRefused', 's3 refused the key', { hint: 'look at the key' }));
  const handle = await env.start('window', `${environment}/window/1`, { environment });
  const failure = await failureOf(handle);
  expect(failure).toMatchObject({ type: 'CredentialsRefused', message: 's3 refused the key' });
  expect(failure.details).toEqual([{ hint: 'look at the key', next: [] }]);
  const request = {
    environment,
    requestedBy: 'ana',
    reason: 'lab',
    requestedAt: new Date().toISOString(),
    kind: 'full',
  };
  const base = await env.start('takeBase', `${environment}/base/1`, { ...request, node: 'berlin' });
  await expect(failureOf(base)).resolves.toMatchObject({ type: 'NotFound' });
});
