/**
 * Scenario: restore-controller on the command line, against the real workflow.
 * Verified: an environment whose config has no controller is refused before anything is asked, with what to write.
 */
import { createCliWorkflow, type CliWorkflow } from '../support/cli-workflow.js';
import type { Scenario } from '../support/stub-activities.js';
import { createWorkflowEnv, type WorkflowEnv } from '../support/workflow-env.js';

jest.setTimeout(90_000);

let env: WorkflowEnv;
let scenario: Scenario;
let cli: CliWorkflow;

beforeAll(async () => {
  env = await createWorkflowEnv();
});
afterAll(async () => {
  await env.stop();
});
beforeEach(async () => {
  scenario = env.scenario();
  cli = await createCliWorkflow(env, scenario);
});
afterEach(async () => {
  await cli.stop();
});

test('without a controller in the config it is refused before anything is asked', async () => {
  const refused = await cli.pgr(['restore-controller', scenario.environment, '--plan']);
  expect(refused).toMatchObject({ code: 2, document: { error: { code: 'ConfigInvalid' } } });
  expect(refused.out).toContain('docs/restore-controller.md');
  expect(scenario.names()).toEqual([]);
});
