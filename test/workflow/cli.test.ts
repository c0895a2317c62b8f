/**
 * Scenario: the command line against a real Temporal server and the real workflows; activities are stubs.
 * Verified: 1 a recovery from `pitr` over `approve` to `report`, with its exit codes; 2 refusals arrive as typed errors; 3 no worker and no
 * server are told within seconds instead of a command that hangs.
 */
import { writeFile } from 'node:fs/promises';

import { parseConfig } from '../../config/load.js';
import { asView, configText, createCliWorkflow, type CliAnswer, type CliWorkflow } from '../support/cli-workflow.js';
import { quickest } from '../support/quickest.js';
import type { Scenario } from '../support/stub-activities.js';
import { createWorkflowEnv, type WorkflowEnv } from '../support/workflow-env.js';

jest.setTimeout(90_000);

let env: WorkflowEnv;
let scenario: Scenario;
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
  cli = await createCliWorkflow(env, scenario);
  worker = await cli.startOrchestrator();
});
afterEach(async () => {
  await worker.stop();
  await cli.stop();
});

const pgr = (args: string[], address?: string): Promise<CliAnswer> => cli.pgr(args, address);
const untilEnded = (run: string): Promise<CliAnswer> => cli.untilEnded(run);

test('a recovery from pitr over approve to its report', async () => {
  const name = scenario.environment;
  scenario.on('readRecord', ({ run }) => {
    const [id, runId = ''] = run.split('@');
    const entries = scenario.record.filter((entry) => entry.run === id && entry.runId.startsWith(runId));
    return Promise.resolve(entries.length === 0 ? { outcome: 'none' } : { outcome: 'found', entries });
  });
  const waiting = await pgr(['pitr', name, '--to', '2026-11-20T03:42:00Z', '--promote', '--reason', 'oops', '--wait']);
  expect({ code: waiting.code, err: waiting.err.match(/^error.*/m) }).toEqual({ code: 7, err: null });
  const { run, gate } = asView(waiting);
  expect(run.startsWith(`${name}/pitr/`)).toBe(true);
  expect(gate).toMatchObject({ name: 'promote', required: 1 });

  const wrong = await pgr(['approve', run, 'promote', '--code', 'AAAAAA']);
  expect(wrong).toMatchObject({ code: 6, document: { error: { code: 'DecisionRefused' } } });
  const early = await pgr(['approve', run, 'undo', '--code', gate?.code ?? '']);
  expect(early.code).toBe(6);
  const promoted = await pgr(['promote', name, '--from', run]);
  expect(promoted).toMatchObject({ code: 5, document: { error: { code: 'PreconditionFailed' } } });

  const approved = await pgr(['approve', run.slice(0, -2), 'promote', '--code', gate?.code ?? '', '--by', 'bo']);
  expect(approved).toMatchObject({ code: 0, document: { counted: true, by: 'bo' } });
  const shown = await untilEnded(run);
  expect(asView(shown).status).toBe('completed');
  expect(asView(shown).steps.every(({ status }) => status === 'done')).toBe(true);

  const runs = await pgr(['runs', name]);
  const listed = runs.document['runs'] as { run: string; status: string; requestedBy: string }[];
  expect(listed.find((one) => one.run === run)).toMatchObject({ status: 'completed', requestedBy: 'ana' });
  expect(listed.find((one) => one.run === `${name}/change`)).toMatchObject({ status: 'completed' });

  const report = await pgr(['report', run]);
  expect(report.document['markdown']).toContain('refused: wrong code');
  expect(report.document['markdown']).toContain('keep-old-data');
  const exported = await pgr(['audit', 'export', run]);
  await writeFile(cli.file('run.json'), exported.out);
  expect(await pgr(['audit', 'verify', '--file', cli.file('run.json')])).toMatchObject({
    code: 0,
    document: { ok: true },
  });

  const undo = await pgr(['undo', run, '--wait']);
  expect(undo.code).toBe(7);
  const second = await pgr(['undo', run]);
  expect(second).toMatchObject({
    code: 5,
    document: { error: { code: 'EnvironmentBusy', next: [`pgr watch ${name}/change`] } },
  });
  expect((second.document['error'] as { message: string }).message).toMatch(
    /\(undo, waiting-approval, asked for by ana\) at step approve-undo/,
  );
  const rejected = await pgr(['reject', `${name}/change`, 'undo', '--code', asView(undo).gate?.code ?? '']);
  expect(rejected.code).toBe(0);
  expect(asView(await untilEnded(`${name}/change`)).status).toBe('rejected'); // until then the environment is busy
});

test('a kept sandbox is promoted later, or discarded', async () => {
  const name = scenario.environment;
  const kept = await pgr(['pitr', name, '--to', 'latest', '--wait']);
  expect(kept.code).toBe(0);
  const { run } = asView(kept);
  const later = await pgr(['promote', name, '--from', run, '--wait']);
  expect({ code: later.code, error: later.document['error'] }).toEqual({ code: 7, error: undefined });
  expect((await pgr(['abort', `${name}/change`, '--reason', 'changed our mind'])).code).toBe(0);
  expect((await pgr(['discard', run])).code).toBe(0);
  const again = async (): Promise<CliAnswer> => pgr(['discard', run]);
  let gone = await again();
  for (let tries = 0; gone.code === 0 && tries < 100; tries += 1) gone = await again();
  expect(gone).toMatchObject({ code: 3, document: { error: { code: 'NotFound' } } });
});

test('--plan answers and ends; a refusal of the plan is the exit code', async () => {
  const name = scenario.environment;
  const plan = await pgr(['pitr', name, '--to', 'latest', '--plan']);
  expect(plan.code).toBe(0);
  expect(asView(plan).plan).toMatchObject({ hash: expect.any(String) as string, boundary: { kept: { xid: '741' } } });
  const { stepFailure } = await import('../../activities/lib/failure.js');
  scenario.fail('planRecovery', stepFailure('TargetInHole', 'the target lies in a hole', { hint: 'go around' }), 99);
  const refused = await pgr(['pitr', name, '--to', 'xid:7', '--plan']);
  expect(refused).toMatchObject({
    code: 5,
    document: { error: { code: 'TargetInHole', message: 'the target lies in a hole', hint: 'go around' } },
  });
});

test('window and check answer; a typed failure of theirs keeps its code and hint', async () => {
  const name = scenario.environment;
  expect((await pgr(['window', name])).code).toBe(0);
  const { stepFailure } = await import('../../activities/lib/failure.js');
  scenario.fail('readWindow', stepFailure('CredentialsRefused', 'the bucket refuses us', { hint: 'mend it' }), 99);
  expect(await pgr(['window', name])).toMatchObject({
    code: 4,
    document: { error: { code: 'CredentialsRefused', message: 'the bucket refuses us', hint: 'mend it' } },
  });
});

test('take-base waits for the base and shows it', async () => {
  const base = await pgr(['take-base', scenario.environment, '--incremental', '--wait']);
  expect(base).toMatchObject({ code: 0, document: { base: { kind: expect.any(String) as string } } });
  const shown = await pgr(['show', base.document['run'] as string]);
  expect(shown).toMatchObject({ code: 0, document: { runbook: 'take-base', status: 'completed' } });
});

test('a server that is not there is told at once, with what to do', async () => {
  const told = async (): Promise<number> => {
    const before = Date.now();
    const result = await pgr(['runs'], '127.0.0.1:1');
    expect(result).toMatchObject({ code: 1, document: { error: { code: 'TemporalUnavailable' } } });
    return Date.now() - before;
  };
  expect(await quickest(3_000, told, 3)).toBeLessThan(3_000);
});

test('without a worker a command says so within its deadline, and the run is not lost', async () => {
  const started = await pgr(['pitr', scenario.environment, '--to', 'latest', '--promote', '--wait']);
  expect(started.code).toBe(7);
  const { run, gate } = asView(started);
  await worker.stop();
  const shown = await pgr(['show', run]);
  expect(shown).toMatchObject({ code: 5, document: { error: { code: 'HostUnreachable' } } });
  expect((shown.document['error'] as { message: string }).message).toContain('no worker answers on queue orchestrator');
  worker = await cli.startOrchestrator();
  expect((await pgr(['reject', run, 'promote', '--code', gate?.code ?? ''])).code).toBe(0);
});

test('the config that tests write is right', () => {
  expect(() => parseConfig(configText(scenario, '127.0.0.1:1'), 'test')).not.toThrow();
});
