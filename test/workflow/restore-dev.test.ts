/**
 * Scenario: the refresh of a developer's database from the plan to the end, with stub activities on a dev server.
 * Verified: 1 the phases in their order, for each mode; 2 a refused target ends the run before anything is fetched; 3 an abort in the load puts the settings
 * of the server back; 4 what was refused of the dump is told.
 */
import type { DevResult } from '../../shared/contracts/dev.js';
import type { RestoreDevInput } from '../../shared/contracts/runs.js';
import { stepFailure } from '../../activities/lib/failure.js';
import type { Scenario } from '../support/stub-activities.js';
import {
  command,
  createWorkflowEnv,
  failureOf,
  saveHistory,
  untilStatus,
  viewOf,
  type WorkflowEnv,
} from '../support/workflow-env.js';

jest.setTimeout(120_000);

let env: WorkflowEnv;
beforeAll(async () => {
  env = await createWorkflowEnv();
});
afterAll(async () => {
  await env.stop();
});

function inputOf({ environment, hosts }: Scenario, more: Partial<RestoreDevInput> = {}): RestoreDevInput {
  return {
    ...{ environment, requestedBy: 'ana', reason: '', requestedAt: new Date().toISOString(), host: hosts.primary },
    ...{ mode: 'fast', source: null, into: null, password: null },
    ...more,
  };
}

const phasesOf = (scenario: Scenario): string[] => scenario.inputsOf('runDevPhase').map(({ phase }) => phase);

test.each([
  ['fast', ['schema', 'load', 'finish', 'swap', 'prove'], 0],
  ['full', ['schema', 'load', 'finish', 'swap'], 1],
  ['deferred', ['load-deferred', 'finish-deferred'], 3],
] as const)('%s goes through its phases', async (mode, phases, skipped) => {
  const scenario = env.scenario();
  const handle = await env.start('restoreDev', `${scenario.environment}/restore-dev/1`, inputOf(scenario, { mode }));
  const result = (await handle.result()) as DevResult;
  expect(phasesOf(scenario)).toEqual(phases);
  const view = await viewOf(handle);
  expect(view.status).toBe('completed');
  expect(view.steps.filter(({ status }) => status === 'skipped')).toHaveLength(skipped);
  expect(result).toMatchObject({ outcome: 'usable', mode, deferred: mode === 'fast' ? ['public.visits'] : [] });
  expect(result.commands.some((line) => line.endsWith('--deferred'))).toBe(mode === 'fast');
  await saveHistory(handle, `restore-dev.${mode}`);
});

test('a plan is all that happens when only the plan was asked for', async () => {
  const scenario = env.scenario();
  const handle = await env.start(
    'restoreDev',
    `${scenario.environment}/restore-dev/1`,
    inputOf(scenario, { planOnly: true }),
  );
  expect(await handle.result()).toMatchObject({ outcome: 'planned', plan: { target: { database: 'shop_dev' } } });
  expect(scenario.names()).toEqual(['planDevRestore']);
  await saveHistory(handle, 'restore-dev.planned');
});

test('a refused target ends the run before anything is fetched', async () => {
  const scenario = env.scenario();
  scenario.fail('planDevRestore', stepFailure('IdentityMismatch', 'the server is one of environment production'));
  const handle = await env.start('restoreDev', `${scenario.environment}/restore-dev/1`, inputOf(scenario));
  expect(await failureOf(handle)).toMatchObject({ type: 'IdentityMismatch' });
  expect(scenario.names()).not.toContain('fetchDevDump');
});

test('a failed load waits for a person, and an abort puts the settings of the server back', async () => {
  const scenario = env.scenario();
  scenario.on('runDevPhase', (input, usual) =>
    input.phase === 'load'
      ? Promise.reject(stepFailure('CommandFailed', 'table public.orders cannot be loaded'))
      : usual(),
  );
  const handle = await env.start('restoreDev', `${scenario.environment}/restore-dev/1`, inputOf(scenario));
  await untilStatus(handle, 'needs-attention');
  await command(handle, 'abort');
  await failureOf(handle);
  expect(phasesOf(scenario).at(-1)).toBe('put-back');
  expect(phasesOf(scenario)).not.toContain('swap');
  await saveHistory(handle, 'restore-dev.aborted-in-load');
});

test('what PostgreSQL refused of the dump is told, and the database is usable', async () => {
  const scenario = env.scenario();
  scenario.on('runDevPhase', async (input, usual) => ({
    ...(await usual()),
    problems: input.phase === 'prove' ? ['INDEX orders_body: type does not exist'] : [],
  }));
  const handle = await env.start('restoreDev', `${scenario.environment}/restore-dev/1`, inputOf(scenario));
  const result = (await handle.result()) as DevResult;
  expect(result.problems).toEqual(['INDEX orders_body: type does not exist']);
  const { evidence } = await viewOf(handle);
  expect(evidence).toContainEqual(
    expect.objectContaining({ actual: 'INDEX orders_body: type does not exist', ok: false }),
  );
});
