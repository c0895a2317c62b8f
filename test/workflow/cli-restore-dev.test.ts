/**
 * Scenario: restore-dev on the command line, against the real workflow.
 * Verified: 1 the plan alone, a whole run and what comes later, with their exit codes and documents; 2 bad input is refused before anything is asked, and
 * never repeats a secret; 3 a refused target ends with the exit code of a refusal; 4 people see how long it took until the database was usable.
 */
import { asView, createCliWorkflow, type CliAnswer, type CliWorkflow } from '../support/cli-workflow.js';
import { stepFailure } from '../../activities/lib/failure.js';
import type { Scenario } from '../support/stub-activities.js';
import { createWorkflowEnv, type WorkflowEnv } from '../support/workflow-env.js';

jest.setTimeout(120_000);

let env: WorkflowEnv;
let scenario: Scenario;
let name: string;
let cli: CliWorkflow;
let worker: { stop(): Promise<void> };

beforeAll(async () => {
  env = await createWorkflowEnv();
});
afterAll(async () => {
  await env.stop();
});
beforeEach(async () => {
  scenario = env.scenario();
  name = scenario.environment;
  cli = await createCliWorkflow(env, scenario, undefined, devText(scenario));
  worker = await cli.startOrchestrator();
});
afterEach(async () => {
  await worker.stop();
  await cli.stop();
});

function devText({ hosts }: Scenario): string {
  return `    dev:
      host: ${hosts.primary}
      sources: { nightly: { kind: file, path: /backups } }
      database: shop_dev
      target: { kind: server, url: 'postgresql://postgres@127.0.0.1:6543' }
`;
}

const INTO = ['--into', 'postgresql://me@127.0.0.1:6543/shop_dev'];

test('--plan shows the target and the dump, and touches nothing', async () => {
  const plan = await cli.pgr(['restore-dev', name, '--plan']);
  expect(plan).toMatchObject({ code: 0, document: { runbook: 'restore-dev', status: 'completed' } });
  expect(scenario.names()).toEqual(['planDevRestore']);
  const { out } = await cli.text(['show', asView(plan).run]);
  expect(out).toContain('refresh database shop_dev at 127.0.0.1:5432');
  expect(out).toContain('which belongs to no environment of the config');
});

test('a run ends with the database usable, and says what comes later and how', async () => {
  const ended = await cli.pgr(['restore-dev', name, '--wait']);
  expect(ended).toMatchObject({ code: 0, document: { status: 'completed' } });
  const shown = await cli.text(['show', asView(ended).run]);
  expect(shown.out).toMatch(/usable.*after \d+\.\d s, 40 tables loaded/s);
  expect(shown.out).toContain(`pgr restore-dev ${name} --deferred`);
  const later = await cli.pgr(['restore-dev', name, '--deferred', '--wait']);
  expect(later.code).toBe(0);
  expect(scenario.inputsOf('planDevRestore').map(({ mode }) => mode)).toEqual(['fast', 'deferred']);
});

test('a database of the caller is named without its password', async () => {
  const ended = await cli.pgr(['restore-dev', name, ...INTO, '--password', 'env:MINE', '--full', '--plan']);
  expect(ended.code).toBe(0);
  expect(scenario.inputsOf('planDevRestore')[0]).toMatchObject({ into: INTO[1], password: 'env:MINE', mode: 'full' });
});

test('a target that belongs to an environment ends the run with a refusal', async () => {
  scenario.on('planDevRestore', () =>
    Promise.reject(stepFailure('IdentityMismatch', 'the server is one of environment production')),
  );
  const refused = await cli.pgr(['restore-dev', name, '--wait']);
  expect(refused.code).toBeGreaterThan(0);
  expect(scenario.names()).not.toContain('fetchDevDump');
  const plan = await cli.pgr(['restore-dev', name, '--plan']);
  expect(plan).toMatchObject({ code: refused.code, document: { error: { code: 'IdentityMismatch' } } });
});

test.each([
  [['--into', 'shop_dev'], 'not a postgresql:// URL'],
  [['--into', 'mysql://h/d'], 'not a postgresql:// URL'],
  [['--into', 'postgresql://a:hunter22@127.0.0.1/d'], 'carries a password'],
  [['--into', 'postgresql://a@127.0.0.1/d?password=hunter22'], 'carries a password'],
  [[...INTO, '--password', 'hunter22'], 'not a reference to a secret'],
  [['--password', 'env:X'], 'belongs to --into'],
  [['--fast', '--full'], 'cannot be used with'],
  [['--full', '--deferred'], 'cannot be used with'],
])('%j is refused before anything is asked', async (flags, message) => {
  const refused: CliAnswer = await cli.pgr(['restore-dev', name, ...flags]);
  expect(refused).toMatchObject({ code: 2, document: { error: { code: 'BadUsage' } } });
  expect(refused.out).toContain(message);
  expect(refused.out + refused.err).not.toContain('hunter22');
  expect(scenario.names()).toEqual([]);
});

test('a source that is not in the config is refused with those that are', async () => {
  const refused = await cli.pgr(['restore-dev', name, '--source', 'weekly']);
  expect(refused).toMatchObject({ document: { error: { code: 'NotFound' } } });
  expect(refused.out).toContain('its sources are nightly');
  expect(scenario.names()).toEqual([]);
});
