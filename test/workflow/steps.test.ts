/**
 * Scenario: every step of pitr and promote fails.
 * Verified: 1 the run parks with the failure, its hint and the choices; 2 a retry goes on from there and the end is the same;
 * 3 an abort puts back in reverse order exactly what was changed; 4 skip is offered where the table allows it and nowhere else.
 */
import type { WorkflowHandle } from '@temporalio/client';

import { stepFailure } from '../../activities/lib/failure.js';
import type { PromoteInput } from '../../shared/contracts/runs.js';
import type { ActivityName, Scenario } from '../support/stub-activities.js';
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

jest.setTimeout(120_000);

let env: WorkflowEnv;
beforeAll(async () => {
  env = await createWorkflowEnv();
});
afterAll(async () => {
  await env.stop();
});

const broken = (): Error => stepFailure('CommandFailed', 'it broke', { hint: 'mend it' });

const PITR_STEPS: [string, ActivityName][] = [
  ['check-target', 'planRecovery'],
  ['prepare-sandbox', 'prepareSandbox'],
  ['restore-base', 'restoreBase'],
  ['combine-incrementals', 'combineIncrementals'],
  ['replay-wal', 'replayWal'],
  ['verify-sandbox', 'verifySandbox'],
];

/** Step, its activity, and what an abort there must call, in order. */
const START_APPS: ActivityName[] = ['startApp'];
const RESUME: ActivityName[] = ['resumeBackups', ...START_APPS];
const START_OLD: ActivityName[] = ['startNode', 'startNode', ...RESUME];
const RETURN_OLD: ActivityName[] = ['returnOldData', ...START_OLD];
const SWAP_OUT: ActivityName[] = ['swapOut', ...RETURN_OLD];
const ABANDON: ActivityName[] = ['swapOut', 'abandonTimeline', ...RETURN_OLD];
const STOP_NEW: ActivityName[] = ['fenceNode', ...ABANDON];
const STOP_APPS: ActivityName[] = ['stopApp', ...STOP_NEW];
const RETURN_STANDBY: ActivityName[] = ['fenceNode', 'swapOut', 'returnOldData', ...STOP_APPS];
const PROMOTE_STEPS: [string, ActivityName, ActivityName[]][] = [
  ['check-promotion', 'planPromotion', []],
  ['stop-apps', 'stopApp', START_APPS],
  ['capture-tail', 'captureTail', START_APPS],
  ['pause-backups', 'pauseBackups', RESUME],
  ['fence-old-cluster', 'fenceNode', START_OLD],
  ['keep-old-data', 'keepOldData', RETURN_OLD],
  ['swap-in', 'swapIn', SWAP_OUT],
  ['end-recovery', 'endRecovery', SWAP_OUT],
  ['start-primary', 'startNode', STOP_NEW],
  ['verify-writes', 'verifyWrites', STOP_NEW],
  ['start-apps', 'startApp', STOP_APPS],
  ['re-baseline', 'rebaseline', STOP_APPS],
  ['rebuild-standby', 'rebuildStandby', RETURN_STANDBY],
  ['report', 'finishPromotion', RETURN_STANDBY],
];

function promoteInput(scenario: Scenario): PromoteInput {
  const { environment, hosts } = scenario;
  const ref = { environment, run: `${environment}/pitr/1`, runId: 'run-1', sandbox: 'run-1', host: hosts.primary };
  return {
    environment,
    requestedBy: 'ana',
    reason: 'orders were deleted',
    requestedAt: new Date().toISOString(),
    fromRun: ref.run,
    ref,
    recovery: recoveryPlan(environment, hosts.primary),
    evidence: GOOD_EVIDENCE,
    approved: null,
  };
}

async function startPromote(scenario: Scenario): Promise<WorkflowHandle> {
  return env.start('promote', `${scenario.environment}/change`, promoteInput(scenario));
}

async function approveWhenAsked(handle: WorkflowHandle): Promise<void> {
  const view = await until(handle, ({ status }) => status === 'waiting-approval' || status === 'needs-attention');
  if (view.status === 'waiting-approval') await decide(handle, 'approve', 'ben');
}

test('pitr: every step that fails parks the run, and a retry goes on from there to the same end', async () => {
  const scenario = env.scenario();
  for (const [, activity] of PITR_STEPS) scenario.fail(activity, broken());
  const handle = await env.start('pitr', `${scenario.environment}/pitr/1`, pitrInput(scenario.environment));
  for (const [step] of PITR_STEPS) {
    const view = await until(handle, ({ failure }) => failure?.step === step);
    expect(view).toMatchObject({
      status: 'needs-attention',
      failure: { code: 'CommandFailed', message: 'it broke', hint: 'mend it', choices: ['retry', 'abort'] },
    });
    expect(view.steps.find((one) => one.id === step)?.status).toBe('failed');
    await expect(command(handle, 'skip')).resolves.toMatchObject({ accepted: false });
    await expect(command(handle, 'retry')).resolves.toEqual({ accepted: true, why: null });
  }
  await until(handle, ({ status }) => status === 'waiting-approval');
  expect(scenario.entries('step-failed').map((body) => body.step)).toEqual(PITR_STEPS.map(([step]) => step));
  await decide(handle, 'approve', 'ben');
  await expect(handle.result()).resolves.toMatchObject({ outcome: 'promoted' });
  expect((await viewOf(handle)).steps.slice(0, 6).map((step) => step.attempts)).toEqual(Array(6).fill(2));
  await saveHistory(handle, 'pitr.every-step-retried');
});

test('promote: every step that fails parks the run, and a retry goes on from there to the same end', async () => {
  const scenario = env.scenario();
  for (const [, activity] of PROMOTE_STEPS) scenario.fail(activity, broken());
  const handle = await startPromote(scenario);
  for (const [step] of PROMOTE_STEPS) {
    if (step === 'stop-apps') await approveWhenAsked(handle);
    const view = await until(handle, ({ failure }) => failure?.step === step);
    const skip = step === 'rebuild-standby' ? ['skip'] : [];
    expect(view.failure).toMatchObject({ code: 'CommandFailed', choices: ['retry', ...skip, 'abort'] });
    await command(handle, 'retry');
  }
  await expect(handle.result()).resolves.toMatchObject({ outcome: 'promoted', rebuilt: ['chicago'] });
  expect(scenario.inputsOf('keepOldData')).toHaveLength(2);
  await saveHistory(handle, 'promote.every-step-retried');
});

test.each(PITR_STEPS)(
  'pitr: an abort at %s discards the sandbox when there is one, and touches nothing else',
  async (step, activity) => {
    const scenario = env.scenario().fail(activity, broken());
    const handle = await env.start('pitr', `${scenario.environment}/pitr/1`, pitrInput(scenario.environment));
    await until(handle, ({ failure }) => failure?.step === step);
    const before = scenario.names().length;
    await command(handle, 'abort', { by: 'ana', reason: 'wrong target' });
    await expect(failureOf(handle)).resolves.toMatchObject({
      type: 'RunAborted',
      message: 'aborted by ana: wrong target',
    });
    expect(scenario.names().slice(before)).toEqual(step === 'check-target' ? [] : ['discardSandbox']);
    expect(await viewOf(handle)).toMatchObject({ status: 'aborted', failure: { code: 'RunAborted', choices: [] } });
  },
);

test('promote: an abort at each step puts back what was changed, last change first', async () => {
  await Promise.all(
    PROMOTE_STEPS.map(async ([step, activity, undone]) => {
      const scenario = env.scenario();
      // The second call of startNode and startApp, the third of fenceNode, belong to an undo and must work.
      scenario.fail(activity, broken());
      const handle = await startPromote(scenario);
      await approveWhenAsked(handle);
      await until(handle, ({ failure }) => failure?.step === step);
      const before = scenario.names().length;
      await command(handle, 'abort', { by: 'ana', reason: 'stop' });
      expect([step, (await failureOf(handle)).type]).toEqual([step, 'RunAborted']);
      expect([step, scenario.names().slice(before)]).toEqual([step, undone]);
      const started = scenario.entries('undo-started').map((body) => body.step);
      expect(scenario.entries('undo-done').map((body) => body.step)).toEqual(started);
      expect((await viewOf(handle)).undo?.map((line) => line.status) ?? []).toEqual(started.map(() => 'done'));
      if (step === 'rebuild-standby') await saveHistory(handle, 'promote.aborted-late');
    }),
  );
});

test('a standby that cannot be rebuilt may be skipped, with a reason; the run then completes without it', async () => {
  const scenario = env.scenario().fail('rebuildStandby', broken(), 99);
  const handle = await startPromote(scenario);
  await approveWhenAsked(handle);
  await untilStatus(handle, 'needs-attention');
  await expect(command(handle, 'skip', { by: 'ana' })).resolves.toEqual({
    accepted: false,
    why: 'malformed: "reason" must say why',
  });
  await command(handle, 'skip', { by: 'ana', reason: 'chicago is gone' });
  await expect(handle.result()).resolves.toMatchObject({ outcome: 'promoted', rebuilt: [] });
  expect((await viewOf(handle)).steps.find((step) => step.id === 'rebuild-standby')?.status).toBe('skipped');
  expect(scenario.entries('command')).toMatchObject([{ command: 'skip', by: 'ana', reason: 'chicago is gone' }]);
});

test('an undo that fails parks as well; it can be tried again or left as it is', async () => {
  const scenario = env
    .scenario()
    .fail('verifyWrites', broken())
    .fail('swapOut', stepFailure('IdentityMismatch', 'another system lies there'), 1)
    .fail('returnOldData', stepFailure('SafetyCopyMissing', 'no kept data'), 99);
  const handle = await startPromote(scenario);
  await approveWhenAsked(handle);
  await untilStatus(handle, 'needs-attention');
  await command(handle, 'abort', { by: 'ana', reason: 'stop' });
  const first = await until(handle, ({ failure }) => failure?.step === 'swap-out');
  expect(first.failure).toMatchObject({ code: 'IdentityMismatch', choices: ['retry', 'skip'] });
  await expect(command(handle, 'abort')).resolves.toEqual({ accepted: false, why: 'the run is ending already' });
  await command(handle, 'retry');
  await until(handle, ({ failure }) => failure?.step === 'return-old-data');
  await command(handle, 'skip', { by: 'ana', reason: 'by hand' });
  await expect(failureOf(handle)).resolves.toMatchObject({
    message: 'aborted by ana: stop; not put back: return-old-data',
  });
  expect(scenario.entries('undo-failed').map((body) => body.step)).toEqual(['swap-out', 'return-old-data']);
  expect(scenario.names().slice(-4)).toEqual(['startNode', 'startNode', 'resumeBackups', 'startApp']);
});

test('a cancel request from the Web UI is an abort: what was changed is put back in order', async () => {
  const scenario = env.scenario().fail('verifyWrites', broken());
  const handle = await startPromote(scenario);
  await approveWhenAsked(handle);
  await untilStatus(handle, 'needs-attention');
  const before = scenario.names().length;
  await handle.cancel();
  await expect(failureOf(handle)).resolves.toMatchObject({ type: 'RunAborted' });
  expect(scenario.names().slice(before)).toEqual(STOP_NEW);
});

test('a decision that arrives while a cancelled run puts things back is refused and does not disturb it', async () => {
  const scenario = env.scenario().fail('verifyWrites', broken());
  let goOn = (): void => undefined;
  const held = new Promise<void>((resolve) => (goOn = resolve));
  scenario.on('swapOut', async (_input, usual) => {
    await held;
    return usual();
  });
  const handle = await startPromote(scenario);
  await approveWhenAsked(handle);
  await untilStatus(handle, 'needs-attention');
  await handle.cancel();
  await until(handle, ({ undo }) => undo?.at(-1)?.id === 'swap-out');
  await handle.signal('approve', { gate: 'promote', code: 'ABCDEF', by: 'ben' });
  await until(handle, ({ decisions }) => decisions.some(({ why }) => why?.startsWith('closed') === true));
  goOn();
  await expect(failureOf(handle)).resolves.toMatchObject({ type: 'RunAborted' });
  expect(scenario.names().slice(-5)).toEqual(RETURN_OLD);
});

test('retry, skip and abort of a run that does not need attention are refused, and the refusal is in the record', async () => {
  const scenario = env.scenario();
  const handle = await startPromote(scenario);
  await untilStatus(handle, 'waiting-approval');
  await expect(command(handle, 'retry')).resolves.toEqual({ accepted: false, why: 'the run does not need attention' });
  await expect(command(handle, 'abort', 'now!')).resolves.toMatchObject({ accepted: false });
  expect(scenario.entries('note').map((body) => body.text)).toEqual([
    'retry by ana refused: the run does not need attention',
    'abort by  refused: malformed: "by" must name who asks',
  ]);
  await command(handle, 'abort');
  await failureOf(handle);
  expect(scenario.names()).not.toContain('stopApp');
});
