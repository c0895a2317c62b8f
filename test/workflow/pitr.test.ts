/**
 * Scenario: a point-in-time recovery from the plan to the end, with stub activities on a dev server.
 * Verified: 1 nothing of production is touched before the approval; 2 each activity gets exactly its input; 3 what the run ends with;
 * 4 the record is a whole chain; 5 what people are shown.
 */
import type { PromotionResult } from '../../shared/contracts/promotion.js';
import type { RecoveryResult } from '../../shared/contracts/sandbox.js';
import { verifyEntries } from '../../shared/record-chain.js';
import { keptDataDirFor, sandboxKeeperIdFor } from '../../shared/ids.js';
import { stepFailure } from '../../activities/lib/failure.js';
import {
  command,
  createWorkflowEnv,
  decide,
  failureOf,
  pitrInput,
  saveHistory,
  untilStatus,
  viewOf,
  type WorkflowEnv,
} from '../support/workflow-env.js';
import { GOOD_EVIDENCE, recoveryPlan, SYSTEM_IDENTIFIER } from '../support/workflow-fixtures.js';

jest.setTimeout(60_000);

let env: WorkflowEnv;
beforeAll(async () => {
  env = await createWorkflowEnv();
});
afterAll(async () => {
  await env.stop();
});

const RESTORE = [
  'readEnvironment',
  'planRecovery',
  'prepareSandbox',
  'restoreBase',
  'combineIncrementals',
  'replayWal',
  'verifySandbox',
];

test('recovers, waits, promotes only after the approval, and ends with the promotion', async () => {
  const scenario = env.scenario();
  const { environment } = scenario;
  const id = `${environment}/pitr/20261121-034200`;
  const handle = await env.start('pitr', id, pitrInput(environment));
  const waiting = await untilStatus(handle, 'waiting-approval');

  expect(scenario.names()).toEqual(RESTORE);
  expect(waiting.gate).toMatchObject({ name: 'promote', required: 1, expired: false, evidence: GOOD_EVIDENCE });
  expect(waiting.gate?.code).toMatch(/^[0-9A-HJKMNP-TV-Z]{6}$/);
  expect(waiting.plan?.hash).toBe('plan-hash-1');
  expect(waiting.sandbox).toMatchObject({ port: 15_400, state: 'paused' });

  const answer = await decide(handle, 'approve', 'ben');
  expect(answer).toMatchObject({ counted: true, why: null, approvals: 1, required: 1, identity: 'declared' });
  const result = (await handle.result()) as RecoveryResult;
  expect(result.outcome).toBe('promoted');
  expect(result.promotion?.run).toBe(`${environment}/change`);
  expect(scenario.names().slice(RESTORE.length)).toEqual([
    'readEnvironment',
    'planPromotion',
    'stopApp',
    'captureTail',
    'pauseBackups',
    'fenceNode',
    'fenceNode',
    'keepOldData',
    'swapIn',
    'endRecovery',
    'startNode',
    'verifyWrites',
    'startApp',
    'resumeBackups',
    'rebaseline',
    'rebuildStandby',
    'finishPromotion',
  ]);

  const view = await viewOf(handle);
  expect(view.status).toBe('completed');
  const notDone = view.steps.filter(({ status }) => status !== 'done');
  expect(notDone).toMatchObject([{ id: 'approve-store', status: 'skipped' }]);
  expect(view.decisions).toMatchObject([{ by: 'ben', counted: true }]);
  expect(view.measured.writeOutageMs).toBeGreaterThan(0);
  await saveHistory(handle, 'pitr.approved');
  await saveHistory(env.env.client.workflow.getHandle(`${environment}/change`), 'promote.by-parent');
});

test('each activity of both runbooks gets exactly its input', async () => {
  const scenario = env.scenario();
  const { environment, hosts } = scenario;
  const handle = await env.start('pitr', `${environment}/pitr/1`, pitrInput(environment));
  await untilStatus(handle, 'waiting-approval');
  await decide(handle, 'approve', 'ben');
  await handle.result();
  const change = env.env.client.workflow.getHandle(`${environment}/change`);
  const { runId: changeRunId } = await change.describe();
  const { runId } = await handle.describe();

  const run = `${environment}/pitr/1`;
  const ref = { environment, run, runId, sandbox: runId, host: hosts.primary };
  const plan = recoveryPlan(environment, hosts.primary);
  const node = (name: 'dallas' | 'chicago', host: string) => ({
    environment,
    node: name,
    run: `${environment}/change`,
    runId: changeRunId,
    expect: { systemIdentifier: SYSTEM_IDENTIFIER, dataDir: `/srv/${name}/data`, host },
  });
  const dallas = node('dallas', hosts.primary);
  const chicago = node('chicago', hosts.standby);
  expect(scenario.inputsOf('planRecovery')).toEqual([
    { environment, host: hosts.primary, target: plan.target, requestedAt: expect.stringMatching(/Z$/) as string },
  ]);
  for (const activity of [
    'prepareSandbox',
    'restoreBase',
    'combineIncrementals',
    'replayWal',
    'verifySandbox',
  ] as const) {
    expect(scenario.inputsOf(activity)).toEqual([{ ref, plan }]);
  }
  expect(scenario.inputsOf('planPromotion')).toEqual([
    { environment, run: `${environment}/change`, runId: changeRunId, ref, plan },
  ]);
  expect(scenario.inputsOf('stopApp')).toEqual([{ environment, app: 'shop' }]);
  expect(scenario.inputsOf('captureTail')).toEqual([dallas]);
  expect(scenario.inputsOf('pauseBackups')).toEqual([{ environment, run: `${environment}/change` }]);
  expect(scenario.inputsOf('fenceNode')).toEqual([dallas, chicago]);
  expect(scenario.inputsOf('keepOldData')).toEqual([dallas]);
  expect(scenario.inputsOf('swapIn')).toEqual([{ ...dallas, ref }]);
  expect(scenario.inputsOf('endRecovery')).toEqual([{ ...dallas, ref, plan }]);
  expect(scenario.inputsOf('startNode')).toEqual([dallas]);
  expect(scenario.inputsOf('verifyWrites')).toEqual([{ environment, expectNode: 'dallas', expectTimeline: 2 }]);
  expect(scenario.inputsOf('startApp')).toEqual([{ environment, app: 'shop' }]);
  expect(scenario.inputsOf('rebaseline')).toEqual([dallas]);
  expect(scenario.inputsOf('rebuildStandby')).toEqual([{ ...chicago, from: 'dallas' }]);
  expect(scenario.inputsOf('finishPromotion')).toEqual([{ ref }]);

  const promoted = (await change.result()) as PromotionResult;
  expect(promoted).toMatchObject({
    outcome: 'promoted',
    run: `${environment}/change`,
    runId: changeRunId,
    timeline: 2,
    rebuilt: ['chicago'],
    lost: { until: '2026-11-21T03:43:59.000000Z', seconds: 120, commits: 12, exact: false },
  });
  expect(promoted.plan.primary.keptDataDir).toBe(keptDataDirFor('/srv/dallas/data', changeRunId));
});

test('the record of both runs is a whole chain with an entry before and after every step', async () => {
  const scenario = env.scenario();
  const { environment } = scenario;
  const handle = await env.start('pitr', `${environment}/pitr/1`, pitrInput(environment));
  await untilStatus(handle, 'waiting-approval');
  await decide(handle, 'approve', 'ben');
  await handle.result();

  for (const run of [`${environment}/pitr/1`, `${environment}/change`]) {
    const entries = scenario.record.filter((entry) => entry.run === run);
    const last = entries.at(-1);
    expect(verifyEntries(entries, { seq: last?.seq ?? 0, hash: last?.hash ?? '' })).toEqual([]);
    expect(entries[0]?.body).toMatchObject({ kind: 'run-started', requestedBy: 'ana', reason: 'orders were deleted' });
    expect(last?.body).toMatchObject({ kind: 'result', status: 'completed' });
    const started = scenario.entries('step-started', run).map((body) => body.step);
    expect(scenario.entries('step-done', run).map((body) => body.step)).toEqual(started);
  }
  expect(scenario.entries('decision', `${environment}/pitr/1`)).toMatchObject([
    { by: 'ben', entry: 'update', counted: true, comment: 'looked at it', identity: 'declared' },
  ]);
  expect(scenario.entries('note', `${environment}/change`)[0]?.text).toContain(`approved in run ${environment}/pitr/1`);
});

test('without promote the sandbox is kept, and its keeper drops it when told', async () => {
  const scenario = env.scenario();
  const { environment } = scenario;
  const handle = await env.start('pitr', `${environment}/pitr/1`, pitrInput(environment, { promote: false }));
  const result = (await handle.result()) as RecoveryResult;
  expect(result.outcome).toBe('kept');
  expect((await viewOf(handle)).steps.slice(7).map((step) => step.status)).toEqual(['skipped', 'skipped']);
  expect(scenario.names()).toEqual(RESTORE);
  await saveHistory(handle, 'pitr.kept');

  const keeper = env.env.client.workflow.getHandle(sandboxKeeperIdFor(environment, result.ref.sandbox));
  await expect(command(keeper, 'discard', 'drop it')).resolves.toMatchObject({ accepted: false });
  await expect(command(keeper, 'discard', { by: 'ben' })).resolves.toEqual({ accepted: true, why: null });
  await expect(keeper.result()).resolves.toMatchObject({ outcome: 'discarded' });
  expect(scenario.inputsOf('discardSandbox')).toEqual([{ ref: result.ref }]);
  expect(scenario.entries('command')).toMatchObject([{ command: 'discard', by: 'ben' }]);
  await saveHistory(keeper, 'sandbox-keeper.discarded');
});

test('with planOnly it ends after the plan and touches nothing', async () => {
  const scenario = env.scenario();
  const { environment } = scenario;
  const handle = await env.start('pitr', `${environment}/pitr/1`, pitrInput(environment, { planOnly: true }));
  await expect(handle.result()).resolves.toMatchObject({ outcome: 'planned', plan: { hash: 'plan-hash-1' } });
  expect(scenario.names()).toEqual(['readEnvironment', 'planRecovery']);
  await saveHistory(handle, 'pitr.planned');
});

test('a target that cannot be reached ends the run at once with the failure, and no sandbox is made', async () => {
  const scenario = env.scenario();
  const { environment } = scenario;
  const hint = 'the latest possible target is 2026-11-21T03:42:29Z';
  scenario.fail('planRecovery', stepFailure('TargetNotRecoverable', 'target lies after the last commit', { hint }));
  const handle = await env.start('pitr', `${environment}/pitr/1`, pitrInput(environment));
  const failure = await failureOf(handle);
  expect(failure).toMatchObject({ type: 'TargetNotRecoverable', message: 'target lies after the last commit' });
  expect(failure.details[0]).toEqual({ hint, next: [] });
  const view = await viewOf(handle);
  expect(view).toMatchObject({ status: 'failed', failure: { code: 'TargetNotRecoverable', choices: [], hint } });
  expect(scenario.names()).toEqual(['readEnvironment', 'planRecovery']);
});

test('evidence that does not hold never reaches the gate; a retry looks again', async () => {
  const scenario = env.scenario();
  const { environment } = scenario;
  let looks = 0;
  scenario.on('verifySandbox', (_input, usual) => {
    looks += 1;
    const bad = { check: 'first-dropped-absent', expected: 'aborted', actual: 'committed', ok: false };
    return looks === 1 ? Promise.resolve({ ok: false, checks: [bad], counts: [], seconds: 1 }) : usual();
  });
  const handle = await env.start('pitr', `${environment}/pitr/1`, pitrInput(environment));
  const parked = await untilStatus(handle, 'needs-attention');
  expect(parked.failure).toMatchObject({ step: 'verify-sandbox', code: 'EvidenceFailed', choices: ['retry', 'abort'] });
  expect(parked.failure?.message).toContain('first-dropped-absent: expected aborted, found committed');
  expect(scenario.entries('gate-opened')).toEqual([]);
  await command(handle, 'retry');
  await untilStatus(handle, 'waiting-approval');
  await command(handle, 'abort');
  await expect(failureOf(handle)).resolves.toMatchObject({ type: 'RunAborted' });
});

test('a rejection keeps the sandbox, touches nothing of production, and says so', async () => {
  const scenario = env.scenario();
  const { environment } = scenario;
  const handle = await env.start('pitr', `${environment}/pitr/1`, pitrInput(environment));
  const { runId } = await handle.describe();
  await untilStatus(handle, 'waiting-approval');
  await decide(handle, 'reject', 'ben');
  const failure = await failureOf(handle);
  expect(failure.type).toBe('RunRejected');
  expect(failure.details[1]).toMatchObject({ outcome: 'kept', sandbox: { port: 15_400 } });
  expect((await viewOf(handle)).status).toBe('rejected');
  expect(scenario.names()).toEqual(RESTORE);
  expect(scenario.entries('result')).toMatchObject([{ status: 'rejected', result: { outcome: 'kept' } }]);
  const keeper = env.env.client.workflow.getHandle(sandboxKeeperIdFor(environment, runId));
  expect((await keeper.describe()).status.name).toBe('RUNNING');
  await command(keeper, 'discard', { by: 'ben' });
  await keeper.result();
  await saveHistory(handle, 'pitr.rejected');
});
