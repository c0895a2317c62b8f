/**
 * Scenario: the backup store shows its WAL only while it is fetched, so the plan has no boundary until step restore-base. Verified: every later step,
 * the gate and the result have the completed plan; the steps before it had the one that was planned; people see which it is.
 */
import type { RecoveryPlan } from '../../shared/contracts/plan.js';
import type { RecoveryResult } from '../../shared/contracts/sandbox.js';
import {
  createWorkflowEnv,
  decide,
  pitrInput,
  saveHistory,
  untilStatus,
  viewOf,
  type WorkflowEnv,
} from '../support/workflow-env.js';
import { recoveryPlan } from '../support/workflow-fixtures.js';

jest.setTimeout(60_000);

let env: WorkflowEnv;
beforeAll(async () => {
  env = await createWorkflowEnv();
});
afterAll(async () => {
  await env.stop();
});

test('the plan is completed by the fetch, and approved as it is then', async () => {
  const scenario = env.scenario();
  const { environment, hosts } = scenario;
  const complete = recoveryPlan(environment, hosts.primary, { hash: 'hash-of-the-completed-plan' });
  const open: RecoveryPlan = {
    ...complete,
    boundary: { kept: null, dropped: null },
    boundaryAfterFetch: true,
    hash: 'hash-of-the-open-plan',
  };
  const seen: { duringFetch: string[] } = { duringFetch: [] };
  const run = `${environment}/pitr/1`;
  scenario.on('planRecovery', () => Promise.resolve(open));
  scenario.on('restoreBase', async (_, usual) => {
    seen.duringFetch = (await viewOf(env.env.client.workflow.getHandle(run))).plan?.summary ?? [];
    return { ...(await usual()), plan: complete };
  });
  const handle = await env.start('pitr', run, pitrInput(environment));
  const waiting = await untilStatus(handle, 'waiting-approval');

  expect(seen.duringFetch.join('\n')).toContain('found in the WAL once it is fetched');
  expect(waiting.plan).toMatchObject({ hash: 'hash-of-the-completed-plan', boundary: complete.boundary });
  expect(waiting.plan?.summary.join('\n')).toContain('last kept: transaction 741');
  for (const activity of ['prepareSandbox', 'restoreBase'] as const) {
    expect(scenario.inputsOf(activity)).toMatchObject([{ plan: { hash: 'hash-of-the-open-plan' } }]);
  }
  for (const activity of ['combineIncrementals', 'replayWal', 'verifySandbox'] as const) {
    expect(scenario.inputsOf(activity)).toMatchObject([{ plan: complete }]);
  }

  await decide(handle, 'approve', 'ben');
  const result = (await handle.result()) as RecoveryResult;
  expect(result.plan).toEqual(complete);
  expect(scenario.inputsOf('endRecovery')).toMatchObject([{ plan: complete }]);
  await saveHistory(handle, 'pitr.boundary-after-fetch');
});
