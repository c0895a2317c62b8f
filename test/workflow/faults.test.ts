/**
 * Scenario: things around a run fail: the record store, hosts, workers, the child run, another change.
 * Verified: 1 without a record no change is made; 2 what passes by itself is survived; 3 nothing is done twice and nothing is lost.
 */
import { stepFailure } from '../../activities/lib/failure.js';
import type { PromoteInput } from '../../shared/contracts/runs.js';
import { verifyEntries } from '../../shared/record-chain.js';
import { sandboxKeeperIdFor } from '../../shared/ids.js';
import {
  command,
  createWorkflowEnv,
  decide,
  failureOf,
  pitrInput,
  saveHistory,
  until,
  untilStatus,
  viewOf,
  type WorkflowEnv,
} from '../support/workflow-env.js';
import { GOOD_EVIDENCE, recoveryPlan } from '../support/workflow-fixtures.js';

jest.setTimeout(90_000);

let env: WorkflowEnv;
beforeEach(async () => {
  env = await createWorkflowEnv();
});
afterEach(async () => {
  await env.stop();
});

const conflict = (): Error => stepFailure('RecordConflict', 'the store does not take the entry');

function promoteInput(environment: string, approved: PromoteInput['approved'] = null): PromoteInput {
  const host = env.hosts.primary;
  const ref = { environment, run: `${environment}/pitr/1`, runId: 'run-1', sandbox: 'run-1', host };
  return {
    environment,
    requestedBy: 'ana',
    reason: 'orders were deleted',
    requestedAt: new Date().toISOString(),
    fromRun: ref.run,
    ref,
    recovery: recoveryPlan(environment, host),
    evidence: [{ check: 'days old', expected: 'x', actual: 'x', ok: true }],
    approved,
  };
}

test('when the record cannot be written before a change, the change does not happen until it can', async () => {
  const scenario = env.scenario();
  let down = false;
  scenario.on('appendRecord', (input, usual) => {
    if (input.entry.body.kind === 'step-started' && input.entry.body.step === 'fence-old-cluster') down = true;
    return down ? Promise.reject(conflict()) : usual();
  });
  const handle = await env.start('promote', `${scenario.environment}/change`, promoteInput(scenario.environment));
  await untilStatus(handle, 'waiting-approval');
  await decide(handle, 'approve', 'ben');
  const parked = await untilStatus(handle, 'needs-attention');
  expect(parked.failure).toMatchObject({
    step: 'fence-old-cluster',
    code: 'RecordConflict',
    choices: ['retry', 'abort'],
  });
  expect(scenario.names()).not.toContain('fenceNode');
  await command(handle, 'retry');
  await until(handle, ({ failure }) => failure !== null);
  expect(scenario.names()).not.toContain('fenceNode');

  scenario.on('appendRecord', (_input, usual) => usual());
  await command(handle, 'retry');
  await expect(handle.result()).resolves.toMatchObject({ outcome: 'promoted' });
  expect(scenario.inputsOf('fenceNode')).toHaveLength(2);
  const last = scenario.record.at(-1);
  expect(verifyEntries(scenario.record, { seq: last?.seq ?? 0, hash: last?.hash ?? '' })).toEqual([]);
});

test('a record that fails after a change parks without doing the change again', async () => {
  const scenario = env.scenario();
  let broken = true;
  scenario.on('appendRecord', (input, usual) => {
    const { body } = input.entry;
    return broken && body.kind === 'step-done' && body.step === 'keep-old-data' ? Promise.reject(conflict()) : usual();
  });
  const handle = await env.start('promote', `${scenario.environment}/change`, promoteInput(scenario.environment));
  await untilStatus(handle, 'waiting-approval');
  await decide(handle, 'approve', 'ben');
  expect((await untilStatus(handle, 'needs-attention')).failure?.step).toBe('keep-old-data');
  expect(scenario.names()).not.toContain('swapIn');
  broken = false;
  await command(handle, 'retry');
  await handle.result();
  expect(scenario.inputsOf('keepOldData')).toHaveLength(1);
});

test('a run whose record cannot even begin does nothing, and can be aborted', async () => {
  const scenario = env.scenario().fail('appendRecord', conflict(), 99);
  const handle = await env.start('pitr', `${scenario.environment}/pitr/1`, pitrInput(scenario.environment));
  expect((await untilStatus(handle, 'needs-attention')).failure?.code).toBe('RecordConflict');
  await command(handle, 'abort');
  await expect(failureOf(handle)).resolves.toMatchObject({ type: 'RunAborted' });
  expect(scenario.names()).toEqual([]);
});

test('a failure that passes by itself is tried again without anybody', async () => {
  const scenario = env.scenario().fail('planRecovery', stepFailure('StoreUnavailable', 'connection refused'), 2);
  const handle = await env.start(
    'pitr',
    `${scenario.environment}/pitr/1`,
    pitrInput(scenario.environment, { promote: false }),
  );
  await handle.result();
  expect(scenario.inputsOf('planRecovery')).toHaveLength(3);
  expect(scenario.entries('step-failed')).toEqual([]);
});

test('a run goes on after all its workers were stopped at the gate and others took over', async () => {
  const scenario = env.scenario();
  const handle = await env.start('pitr', `${scenario.environment}/pitr/1`, pitrInput(scenario.environment));
  const before = await untilStatus(handle, 'waiting-approval');
  await env.workers.stop();
  await handle.signal('approve', { gate: 'promote', code: before.gate?.code, by: 'ben' });
  await env.startWorkers();
  await expect(handle.result()).resolves.toMatchObject({ outcome: 'promoted' });
  expect(scenario.inputsOf('restoreBase')).toHaveLength(1);
  expect(scenario.entries('decision')).toMatchObject([{ by: 'ben', entry: 'signal', counted: true }]);
});

test('a host that does not answer is named, and the run goes on by itself when it is back', async () => {
  const scenario = env.scenario();
  await env.workers.stop();
  const orchestrator = await env.startWorkers({ orchestrator: true, standby: true });
  const handle = await env.start(
    'pitr',
    `${scenario.environment}/pitr/1`,
    pitrInput(scenario.environment, { promote: false }),
  );
  const parked = await until(handle, ({ status }) => status === 'needs-attention', 60_000);
  expect(parked.failure).toMatchObject({ step: 'check-target', code: 'HostUnreachable' });
  expect(parked.failure?.message).toContain(env.hosts.primary);
  await env.startWorkers({ primary: true });
  await expect(handle.result()).resolves.toMatchObject({ outcome: 'kept' });
  expect(scenario.entries('note').map((body) => body.text)).toEqual([
    `host ${env.hosts.primary} answers again: check-target is tried again`,
  ]);
  expect(scenario.entries('command')).toEqual([]);
  await saveHistory(handle, 'pitr.host-came-back');
  await orchestrator.stop();
});

test('another change of the environment is named, and a retry promotes once it has ended', async () => {
  const scenario = env.scenario();
  const { environment } = scenario;
  const holder = await env.start('promote', `${environment}/change`, promoteInput(environment));
  await untilStatus(holder, 'waiting-approval');
  const handle = await env.start('pitr', `${environment}/pitr/2`, pitrInput(environment));
  await untilStatus(handle, 'waiting-approval');
  await decide(handle, 'approve', 'ben');
  const busy = await untilStatus(handle, 'needs-attention');
  expect(busy.failure).toMatchObject({ step: 'promote', code: 'EnvironmentBusy', choices: ['retry', 'abort'] });
  expect(busy.failure?.message).toBe(`environment ${environment} is held by run ${environment}/change`);
  await command(holder, 'abort');
  await failureOf(holder);
  await command(handle, 'retry');
  await expect(handle.result()).resolves.toMatchObject({ outcome: 'promoted' });
  await saveHistory(handle, 'pitr.busy');
});

test('an abort of the recovery while its change runs aborts the change in order and keeps the sandbox', async () => {
  const scenario = env.scenario().fail('verifyWrites', stepFailure('PreconditionFailed', 'writes do not arrive'), 99);
  const { environment } = scenario;
  const handle = await env.start('pitr', `${environment}/pitr/1`, pitrInput(environment));
  const { runId } = await handle.describe();
  await untilStatus(handle, 'waiting-approval');
  await decide(handle, 'approve', 'ben');
  const change = env.env.client.workflow.getHandle(`${environment}/change`);
  await untilStatus(change, 'needs-attention');
  expect((await viewOf(handle)).child).toBe(`${environment}/change`);
  await command(handle, 'abort', { by: 'ana', reason: 'enough' });
  await expect(failureOf(handle)).resolves.toMatchObject({ type: 'RunAborted', message: 'aborted by ana: enough' });
  await expect(failureOf(change)).resolves.toMatchObject({ type: 'RunAborted' });
  expect(scenario.names()).toContain('returnOldData');
  expect(scenario.names()).not.toContain('discardSandbox');
  const keeper = env.env.client.workflow.getHandle(sandboxKeeperIdFor(environment, runId));
  expect((await keeper.describe()).status.name).toBe('RUNNING');
  await keeper.terminate();
  await saveHistory(handle, 'pitr.aborted-with-child');
});

test('a change that is aborted by itself ends its recovery too, with the sandbox kept', async () => {
  const scenario = env.scenario().fail('verifyWrites', stepFailure('PreconditionFailed', 'writes do not arrive'), 99);
  const { environment } = scenario;
  const handle = await env.start('pitr', `${environment}/pitr/1`, pitrInput(environment));
  await untilStatus(handle, 'waiting-approval');
  await decide(handle, 'approve', 'ben');
  const change = env.env.client.workflow.getHandle(`${environment}/change`);
  await untilStatus(change, 'needs-attention');
  await command(change, 'abort', { by: 'cleo', reason: 'no' });
  const failure = await failureOf(handle);
  expect(failure).toMatchObject({ type: 'RunAborted' });
  expect(failure.message).toContain('aborted by cleo: no');
  expect(scenario.names()).not.toContain('discardSandbox');
});

test('a change that was terminated leaves the recovery asking what to do', async () => {
  const scenario = env.scenario().fail('verifyWrites', stepFailure('PreconditionFailed', 'writes do not arrive'), 99);
  const { environment } = scenario;
  const handle = await env.start('pitr', `${environment}/pitr/1`, pitrInput(environment));
  await untilStatus(handle, 'waiting-approval');
  await decide(handle, 'approve', 'ben');
  const change = env.env.client.workflow.getHandle(`${environment}/change`);
  await untilStatus(change, 'needs-attention');
  await change.terminate('lost');
  const parked = await untilStatus(handle, 'needs-attention');
  expect(parked.failure).toMatchObject({ step: 'promote', code: 'PreconditionFailed', choices: ['retry', 'abort'] });
  expect(parked.failure?.message).toContain(`${environment}/change was terminated`);
  scenario.on('verifyWrites', (_input, usual) => usual());
  await command(handle, 'retry');
  await expect(handle.result()).resolves.toMatchObject({ outcome: 'promoted' });
});

test('an approval that comes with the input but not from the parent run does not count', async () => {
  const scenario = env.scenario();
  const { environment } = scenario;
  const decision = {
    gate: 'promote',
    decision: 'approve',
    by: 'mallory',
    identity: 'declared',
    counted: true,
  } as const;
  const approved = {
    gate: 'promote',
    code: 'K7QF2M',
    decisions: [{ ...decision, why: null, approvals: 1, required: 1 }],
  };
  const handle = await env.start('promote', `${environment}/change`, promoteInput(environment, approved));
  const view = await untilStatus(handle, 'waiting-approval');
  expect(view.gate?.evidence).toEqual(GOOD_EVIDENCE);
  expect(scenario.inputsOf('verifySandbox')).toHaveLength(1);
  expect(scenario.names()).not.toContain('stopApp');
  expect(scenario.entries('note')[0]?.text).toContain('does not count');
  await decide(handle, 'reject', 'ben');
  await expect(failureOf(handle)).resolves.toMatchObject({ type: 'RunRejected' });
  expect(scenario.names()).not.toContain('stopApp');
  await saveHistory(handle, 'promote.rejected');
});

test('a timeline that was made although the reply was lost is marked abandoned by the abort', async () => {
  const scenario = env.scenario().fail('endRecovery', stepFailure('CommandFailed', 'the connection was lost'), 99);
  scenario.on('swapOut', () =>
    Promise.resolve({ outcome: 'swapped-out', setAsideDir: '/srv/dallas/data.undone', timeline: 2 }),
  );
  const { environment } = scenario;
  const handle = await env.start('promote', `${environment}/change`, promoteInput(environment));
  await untilStatus(handle, 'waiting-approval');
  await decide(handle, 'approve', 'ben');
  await untilStatus(handle, 'needs-attention');
  await command(handle, 'abort');
  await failureOf(handle);
  expect(scenario.inputsOf('abandonTimeline')).toEqual([{ environment, timeline: 2, run: `${environment}/change` }]);
});
