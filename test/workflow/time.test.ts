/**
 * Scenario: time passes (time-skipping server): at a gate, for a kept sandbox, while something is down.
 * Verified: 1 reminders and expiry; 2 a gate that is opened again has a new code and new evidence, the old code is stale; 3 a sandbox is
 * dropped when its time has passed, never while it is promoted; 4 what stays down parks the run after minutes.
 */
import type { WorkflowHandle } from '@temporalio/client';

import { stepFailure } from '../../activities/lib/failure.js';
import type { SandboxRef } from '../../shared/contracts/sandbox.js';
import { sandboxKeeperIdFor } from '../../shared/ids.js';
import type { Scenario } from '../support/stub-activities.js';
import {
  command,
  createWorkflowEnv,
  decide,
  eventually,
  pitrInput,
  saveHistory,
  until,
  untilStatus,
  viewOf,
  type WorkflowEnv,
} from '../support/workflow-env.js';

jest.setTimeout(60_000);

// One server for each test: its clock is shared by all runs on it.
let env: WorkflowEnv;
beforeEach(async () => {
  env = await createWorkflowEnv('time-skipping');
});
afterEach(async () => {
  await env.stop();
});

const HOUR = 3_600;

test('nobody decides: reminders, then expiry parks the run; a retry opens the gate again with a new code and fresh evidence', async () => {
  const scenario = env.scenario({ expiresInSeconds: 4 * HOUR, remindEverySeconds: HOUR });
  const handle = await env.start('pitr', `${scenario.environment}/pitr/1`, pitrInput(scenario.environment));
  const first = await untilStatus(handle, 'waiting-approval');
  await env.env.sleep('5 hours');
  const parked = await untilStatus(handle, 'needs-attention');
  expect(parked.failure).toMatchObject({ step: 'approve-promote', code: 'GateExpired', choices: ['retry', 'abort'] });
  expect(parked.gate).toMatchObject({ expired: true });
  expect(scenario.entries('gate-reminder').map((body) => body.waitedSeconds)).toEqual([HOUR, 2 * HOUR, 3 * HOUR]);
  expect(scenario.entries('gate-expired')).toHaveLength(1);
  const told = () => scenario.notices.map(({ event }) => event);
  await eventually(() => told().includes('gate-expired'), 'people hear that the gate has closed');
  // A reminder that waits behind another one may be left out.
  expect([...new Set(told())]).toEqual(['run-started', 'gate-opened', 'gate-reminder', 'gate-expired']);
  expect(scenario.names()).not.toContain('planPromotion');

  const late = await decide(handle, 'approve', 'ben');
  expect(late).toMatchObject({ counted: false, why: expect.stringContaining('expired') as string });
  await command(handle, 'retry');
  const second = await untilStatus(handle, 'waiting-approval');
  expect(second.gate?.code).not.toBe(first.gate?.code);
  expect(scenario.inputsOf('verifySandbox')).toHaveLength(2);
  const stale = await decide(handle, 'approve', 'ben', { code: first.gate?.code });
  expect(stale.why).toMatch(/^stale code/);
  await decide(handle, 'approve', 'ben');
  await untilStatus(handle, 'completed');
  await saveHistory(handle, 'pitr.expired-and-reopened');
});

test('a sandbox that is not as it was is not offered again when the gate is reopened', async () => {
  const scenario = env.scenario({ expiresInSeconds: HOUR });
  let looks = 0;
  scenario.on('verifySandbox', (_input, usual) => {
    looks += 1;
    const bad = { check: 'tainted', expected: 'read-only', actual: 'written', ok: false };
    return looks === 1 ? usual() : Promise.resolve({ ok: false, checks: [bad], counts: [], seconds: 1 });
  });
  const handle = await env.start('pitr', `${scenario.environment}/pitr/1`, pitrInput(scenario.environment));
  await untilStatus(handle, 'waiting-approval');
  await env.env.sleep('2 hours');
  await untilStatus(handle, 'needs-attention');
  await command(handle, 'retry');
  const view = await until(handle, ({ failure }) => failure?.code === 'EvidenceFailed');
  expect(view.failure?.step).toBe('approve-promote');
  expect(scenario.entries('gate-opened')).toHaveLength(1);
});

/** A run that kept its sandbox for an hour. The clock stands while it runs: `result()` would let the hour pass. */
async function keptForAnHour(
  scenario: Scenario,
): Promise<{ ref: SandboxRef; expiresAt: string; keeper: WorkflowHandle }> {
  const { environment } = scenario;
  // Nobody is told anything: the time-skipping server stops its clock for good when an abandoned child ends after its parent.
  scenario.on('listChannels', () => Promise.resolve({ channels: [] }));
  const handle = await env.start(
    'pitr',
    `${environment}/pitr/1`,
    pitrInput(environment, { promote: false, ttlSeconds: HOUR }),
  );
  const view = await untilStatus(handle, 'completed');
  const ref = scenario.inputsOf('prepareSandbox')[0]?.ref;
  if (ref === undefined) throw new Error('no sandbox was prepared');
  const keeper = env.env.client.workflow.getHandle(sandboxKeeperIdFor(environment, ref.sandbox));
  return { ref, expiresAt: view.sandbox?.expiresAt ?? '', keeper };
}

test('a kept sandbox is dropped when its time has passed, not before', async () => {
  const scenario = env.scenario();
  const { ref, expiresAt, keeper } = await keptForAnHour(scenario);
  expect(scenario.names()).not.toContain('discardSandbox');
  await expect(keeper.result()).resolves.toMatchObject({ outcome: 'discarded' });
  const ended = scenario.record.filter((entry) => entry.run === keeper.workflowId).at(-1);
  expect(Date.parse(ended?.at ?? '')).toBeGreaterThanOrEqual(Date.parse(expiresAt));
  expect(scenario.inputsOf('discardSandbox')).toEqual([{ ref }]);
});

test('a sandbox that is being promoted is not dropped by its time: the host refuses and the keeper ends', async () => {
  const scenario = env.scenario();
  scenario.fail('discardSandbox', stepFailure('PreconditionFailed', 'the sandbox is being promoted'), 99);
  scenario.on('readSandbox', () =>
    Promise.resolve({ state: 'promoting', dir: '', port: null, url: null, replayLsn: null }),
  );
  const { keeper } = await keptForAnHour(scenario);
  await expect(keeper.result()).resolves.toEqual({ outcome: 'not-ours-any-more', state: 'promoting' });
});

test('a sandbox that could not be dropped when its time had passed is dropped later', async () => {
  const scenario = env.scenario();
  scenario.fail('discardSandbox', stepFailure('PreconditionFailed', 'a server still runs there'), 2);
  const { keeper } = await keptForAnHour(scenario);
  await expect(keeper.result()).resolves.toMatchObject({ outcome: 'discarded' });
  expect(scenario.inputsOf('discardSandbox')).toHaveLength(3);
});

test('a cancel request makes the keeper look: it goes on while the sandbox is there, and ends when it is production', async () => {
  const scenario = env.scenario();
  const { keeper } = await keptForAnHour(scenario);
  scenario.on('readSandbox', () =>
    Promise.resolve({ state: 'promoted', dir: '', port: null, url: null, replayLsn: null }),
  );
  await keeper.cancel();
  await eventually(() => scenario.entries('result', keeper.workflowId).length === 1, 'the keeper ends');
  expect(scenario.entries('result', keeper.workflowId)).toMatchObject([
    { result: { outcome: 'not-ours-any-more', state: 'promoted' } },
  ]);
  expect(scenario.names()).not.toContain('discardSandbox');
});

test('a store that is down for good parks the run after minutes, with its hint', async () => {
  const scenario = env.scenario();
  scenario.fail('planRecovery', stepFailure('StoreUnavailable', 'connection refused'), 999);
  const begun = await env.env.currentTimeMs();
  const handle = await env.start('pitr', `${scenario.environment}/pitr/1`, pitrInput(scenario.environment));
  await env.env.sleep('10 minutes');
  const parked = await untilStatus(handle, 'needs-attention');
  expect(parked.failure).toMatchObject({ step: 'check-target', code: 'StoreUnavailable', choices: ['retry', 'abort'] });
  const failed = scenario.record.find((entry) => entry.body.kind === 'step-failed');
  const seconds = (Date.parse(failed?.at ?? '') - begun) / 1000;
  expect(seconds).toBeGreaterThan(60);
  expect(seconds).toBeLessThan(300);
  scenario.on('planRecovery', (_input, usual) => usual());
  await command(handle, 'retry');
  await untilStatus(handle, 'waiting-approval');
  expect((await viewOf(handle)).failure).toBeNull();
});
