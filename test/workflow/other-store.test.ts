/**
 * Scenario: an environment with two backup stores; the one that the plan took turns out to be broken in the middle.
 * Verified: 1 a gate shows what broke and what the other store reaches; 2 approved, the sandbox is discarded and the recovery begins again from the
 * other store; 3 rejected, or with no other store, the run waits at the step that failed; 4 a failure that is not the store's opens no gate.
 */
import { stepFailure } from '../../activities/lib/failure.js';
import type { RecoveryPlan, StoreChoice } from '../../shared/contracts/plan.js';
import type { RecoveryResult } from '../../shared/contracts/sandbox.js';
import {
  command,
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

const CORRUPT = stepFailure('BackupCorrupt', 'chunk 7 of base base-1 does not verify');

type Scenario = ReturnType<WorkflowEnv['scenario']>;

function planFrom({ environment, hosts }: Scenario, store: string): RecoveryPlan {
  const plan = recoveryPlan(environment, hosts.primary);
  const serves = (name: string, seconds: number): StoreChoice => {
    const { kept } = plan.boundary;
    return { store: name, kind: 's3', reaches: true, seconds, kept, lost: plan.lost };
  };
  const stores = [serves('main', 8), serves('offsite', 40), serves('tapes', 4000)];
  return { ...plan, store, stores, hash: `plan-of-${store}` };
}

/** Two stores that serve, and one that cannot. */
function withStores(): Scenario {
  const scenario = env.scenario();
  return scenario.on('planRecovery', ({ store }) => Promise.resolve(planFrom(scenario, store ?? 'main')));
}

test('approved: the sandbox of the broken store is discarded, and the run ends with the other one', async () => {
  const scenario = withStores();
  scenario.fail('restoreBase', CORRUPT);
  const { environment } = scenario;
  const handle = await env.start('pitr', `${environment}/pitr/1`, pitrInput(environment, { promote: false }));
  const waiting = await untilStatus(handle, 'waiting-approval');
  expect(waiting.gate).toMatchObject({
    name: 'other-store',
    statement: 'the sandbox of store main is discarded and the recovery begins again from store offsite',
    evidence: [
      { check: 'store main', actual: 'BackupCorrupt: chunk 7 of base base-1 does not verify', ok: false },
      { check: 'store offsite', ok: true },
    ],
  });
  expect(scenario.inputsOf('discardSandbox')).toEqual([]);
  await decide(handle, 'approve', 'ben');
  const result = (await handle.result()) as RecoveryResult;
  expect(result).toMatchObject({ outcome: 'kept', plan: { store: 'offsite', hash: 'plan-of-offsite' } });
  expect(scenario.names()).toEqual([
    'readEnvironment',
    'planRecovery',
    'prepareSandbox',
    'restoreBase',
    'planRecovery',
    'discardSandbox',
    'prepareSandbox',
    'restoreBase',
    'combineIncrementals',
    'replayWal',
    'verifySandbox',
  ]);
  expect(scenario.inputsOf('planRecovery').map(({ store }) => store)).toEqual([undefined, 'offsite']);
  expect(scenario.inputsOf('restoreBase').map(({ plan }) => plan.store)).toEqual(['main', 'offsite']);
  const view = await viewOf(handle);
  expect(view).toMatchObject({ status: 'completed', plan: { hash: 'plan-of-offsite' } });
  expect(view.plan?.summary).toContain('store main (s3) cannot serve: chunk 7 of base base-1 does not verify');
  expect(scenario.entries('plan').map(({ hash }) => hash)).toEqual(['plan-of-main', 'plan-of-offsite']);
  await saveHistory(handle, 'pitr.other-store');
});

test('rejected: the run waits at the step that failed, and can be tried again or aborted', async () => {
  const scenario = withStores();
  scenario.fail('replayWal', stepFailure('WalCorrupt', 'damaged wal'));
  const { environment } = scenario;
  const handle = await env.start('pitr', `${environment}/pitr/1`, pitrInput(environment, { promote: false }));
  await untilStatus(handle, 'waiting-approval');
  await decide(handle, 'reject', 'ben');
  const parked = await untilStatus(handle, 'needs-attention');
  expect(parked.failure).toMatchObject({ step: 'replay-wal', code: 'WalCorrupt', choices: ['retry', 'abort'] });
  expect(scenario.inputsOf('discardSandbox')).toEqual([]);
  await command(handle, 'retry');
  await expect(handle.result()).resolves.toMatchObject({ outcome: 'kept', plan: { store: 'main' } });
});

test('a second store that is broken too leads to the third; after the last one the run waits', async () => {
  const scenario = withStores();
  scenario.fail('restoreBase', CORRUPT, 3);
  scenario.on('planRecovery', ({ store }) =>
    store === 'offsite'
      ? Promise.reject(stepFailure('TargetInHole', 'wal is missing'))
      : Promise.resolve(planFrom(scenario, store ?? 'main')),
  );
  const { environment } = scenario;
  const handle = await env.start('pitr', `${environment}/pitr/1`, pitrInput(environment, { promote: false }));
  const waiting = await untilStatus(handle, 'waiting-approval');
  expect(waiting.gate?.statement).toContain('from store tapes');
  await decide(handle, 'approve', 'ben');
  const parked = await untilStatus(handle, 'needs-attention');
  expect(parked.failure).toMatchObject({ step: 'restore-base', code: 'BackupCorrupt' });
  expect(scenario.entries('note').map(({ text }) => text)).toContain('store offsite cannot serve either');
  await command(handle, 'abort');
  await expect(handle.result()).rejects.toThrow();
  expect(scenario.inputsOf('discardSandbox')).toHaveLength(2);
});

test.each([
  ['a failure that is not the fault of the store', stepFailure('SpaceMissing', 'the disk is full')],
  ['a store that was named by hand', CORRUPT],
])('%s opens no gate', async (title, failure) => {
  const scenario = withStores();
  scenario.fail('restoreBase', failure);
  const isNamed = title.includes('by hand');
  if (isNamed) {
    const one = planFrom(scenario, 'main');
    scenario.on('planRecovery', () => Promise.resolve({ ...one, stores: one.stores?.slice(0, 1) ?? [] }));
  }
  const { environment } = scenario;
  const input = pitrInput(environment, { promote: false, ...(isNamed ? { store: 'main' } : {}) });
  const handle = await env.start('pitr', `${environment}/pitr/1`, input);
  const parked = await untilStatus(handle, 'needs-attention');
  expect(parked.failure).toMatchObject({ step: 'restore-base' });
  expect(scenario.entries('gate-opened')).toEqual([]);
  expect(scenario.inputsOf('planRecovery').map(({ store }) => store)).toEqual([isNamed ? 'main' : undefined]);
  await command(handle, 'abort');
  await expect(handle.result()).rejects.toThrow();
});
