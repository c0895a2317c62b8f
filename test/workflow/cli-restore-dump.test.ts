/**
 * Scenario: restore-dump on the command line, against the real workflow.
 * Verified: 1 exit codes and documents from the plan over the gate to the end; 2 bad input is refused before anything is asked, and never repeats a secret;
 * 3 what people see names what is lost and what to do; 4 such a run is promoted through a gate of its own.
 */
import { asView, createCliWorkflow, type CliAnswer, type CliWorkflow } from '../support/cli-workflow.js';
import { HAND_OVER_COMMANDS } from '../support/stub-dump.js';
import type { Scenario } from '../support/stub-activities.js';
import { createWorkflowEnv, type WorkflowEnv } from '../support/workflow-env.js';

jest.setTimeout(90_000);

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
  cli = await createCliWorkflow(env, scenario);
  worker = await cli.startOrchestrator();
});
afterEach(async () => {
  await worker.stop();
  await cli.stop();
});

const FROM = ['--from', '/backups/shop.dump'];

test('from the plan over the gate to the commands for a person', async () => {
  const plan = await cli.pgr(['restore-dump', name, ...FROM, '--plan']);
  expect(plan).toMatchObject({ code: 0, document: { runbook: 'restore-dump', status: 'completed' } });
  expect(scenario.names()).toEqual(['readEnvironment', 'planDump']);

  const waiting = await cli.pgr([
    'restore-dump',
    name,
    ...FROM,
    '--hand-over',
    '--globals',
    '/b/g.sql',
    '--jobs',
    '3',
    '--wait',
  ]);
  expect(waiting.code).toBe(7);
  const { run, gate } = asView(waiting);
  expect(run).toMatch(new RegExp(`^${name}/restore-dump/`));
  expect(scenario.inputsOf('planDump').at(-1)).toMatchObject({ globals: '/b/g.sql', jobs: 3 });
  const shown = await cli.text(['show', run]);
  expect(shown.out).toContain('LOST: everything committed after 2026-11-21T02:00:00Z');
  await cli.pgr(['approve', run, 'hand-over', '--code', gate?.code ?? '', '--by', 'bo']);
  await cli.untilEnded(run);
  const ended = await cli.text(['show', run]);
  for (const command of HAND_OVER_COMMANDS) expect(ended.out).toContain(command);
});

test('a kept sandbox is discarded, and there is nothing to undo', async () => {
  const kept = await cli.pgr(['restore-dump', name, ...FROM, '--ttl', '2h', '--wait']);
  expect(kept).toMatchObject({ code: 0, document: { status: 'completed' } });
  const { run } = asView(kept);
  expect(await cli.pgr(['undo', run])).toMatchObject({ code: 5 });
  expect(await cli.pgr(['discard', run])).toMatchObject({ code: 0, document: { outcome: 'discarding' } });
});

test('a kept sandbox is promoted later, after a gate that says what is lost', async () => {
  const kept = await cli.pgr(['restore-dump', name, ...FROM, '--ttl', '2h', '--wait']);
  const { run } = asView(kept);
  const waiting = await cli.pgr(['promote', name, '--from', run, '--wait']);
  expect(waiting.code).toBe(7);
  const { run: change, gate } = asView(waiting);
  expect(change).toBe(`${name}/change`);
  expect(scenario.names()).not.toContain('stopApp');
  const shown = await cli.text(['show', change]);
  expect(shown.out).toContain('LOST: everything committed after 2026-11-21T02:00:00Z');
  expect(shown.out).toContain('new identity: system 7576999999999999999 on timeline 1');
  await cli.pgr(['approve', change, 'promote', '--code', gate?.code ?? '', '--by', 'bo']);
  await cli.untilEnded(change);
  expect(scenario.inputsOf('swapInDump')).toHaveLength(1);
});

test('--promote asks at one gate, in the run that changes production', async () => {
  const waiting = await cli.pgr(['restore-dump', name, ...FROM, '--promote', '--wait']);
  expect(waiting.code).toBe(7);
  const parent = scenario.record.find((entry) => entry.run.includes('/restore-dump/'))?.run ?? '';
  const gates = scenario.entries('gate-opened');
  expect(gates).toHaveLength(1);
  const shown = await cli.text(['show', parent]);
  expect(shown.out).toContain('promote');
  const code = (gates[0] as { code?: string } | undefined)?.code ?? '';
  expect(await cli.pgr(['approve', parent, 'promote', '--code', code, '--by', 'bo'])).toMatchObject({ code: 0 });
  await cli.untilEnded(parent);
  expect(scenario.names()).toContain('finishPromotion');
});

test.each([
  [['--from', 'shop.dump'], 'not an absolute path'],
  [['--from', 's3://bucket/shop.dump'], 'neither an absolute path nor a postgresql:// URL'],
  [['--from', 'postgresql://a:secret@h/d'], 'carries a password'],
  [['--from', 'postgresql://a@h/d?password=secret'], 'carries a password'],
  [['--from', 'postgresql://a@h/d', '--password', 'secret'], 'not a reference to a secret'],
  [[...FROM, '--password', 'env:X'], 'belongs to a server'],
  [[...FROM, '--promote', '--hand-over'], 'exclude each other'],
  [[...FROM, '--jobs', '0'], 'not a number from 1 to 64'],
  [[...FROM, '--globals', 'g.sql'], 'not an absolute path'],
  [[...FROM, '--locale-provider', 'icu'], 'needs --locale'],
  [[...FROM, '--locale-provider', 'x'], 'that is none'],
])('%j is refused before anything is asked', async (flags, message) => {
  const refused: CliAnswer = await cli.pgr(['restore-dump', name, ...flags]);
  expect(refused).toMatchObject({ code: 2, document: { error: { code: 'BadUsage' } } });
  expect(refused.out).toContain(message);
  expect(refused.out).not.toContain('secret@');
  expect(scenario.names()).toEqual([]);
});

test('encoding and locale go with the request', async () => {
  await cli.pgr(['restore-dump', name, ...FROM, '--plan', '--encoding', 'LATIN1', '--locale', 'de_DE']);
  expect(scenario.inputsOf('planDump')[0]?.locale).toEqual({
    ...{ encoding: 'LATIN1', provider: 'libc', collate: 'de_DE', ctype: 'de_DE', locale: null },
  });
});
