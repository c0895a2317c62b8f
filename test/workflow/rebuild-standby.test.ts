/**
 * Scenario: a standby is made anew; every step fails; a rebuild is undone later.
 * Verified: 1 nothing is touched before the approval, and the safety copy comes before the copy; 2 every step parks, goes on after a retry and
 * puts back in order on abort; 3 data that were not those of a running standby are never started; 4 an undo finds the right copy or refuses.
 */
import type { WorkflowHandle } from '@temporalio/client';

import { stepFailure } from '../../activities/lib/failure.js';
import type { RebuildStandbyRunInput, UndoRebuildInput } from '../../shared/contracts/runs.js';
import type { PlannedNode } from '../../shared/contracts/promotion.js';
import { rebuildPlan, safetyCopy, topology } from '../support/flip-fixtures.js';
import type { ActivityName, Scenario } from '../support/stub-activities.js';
import {
  command,
  createWorkflowEnv,
  decide,
  failureOf,
  saveHistory,
  until,
  untilStatus,
  viewOf,
  type WorkflowEnv,
} from '../support/workflow-env.js';
import { SYSTEM_IDENTIFIER } from '../support/workflow-fixtures.js';

jest.setTimeout(120_000);

let env: WorkflowEnv;
beforeAll(async () => {
  env = await createWorkflowEnv();
});
afterAll(async () => {
  await env.stop();
});

const broken = (): Error => stepFailure('CommandFailed', 'it broke', { hint: 'mend it' });

const request = (environment: string) => ({
  environment,
  requestedBy: 'ana',
  reason: 'disk replaced',
  requestedAt: new Date().toISOString(),
});

function start(scenario: Scenario, more: Partial<RebuildStandbyRunInput> = {}): Promise<WorkflowHandle> {
  const { environment } = scenario;
  const input: RebuildStandbyRunInput = {
    ...request(environment),
    node: 'chicago',
    method: 'auto',
    rateLimitKbPerSecond: null,
    ...more,
  };
  return env.start('rebuildStandby', `${environment}/change`, input);
}

async function approved(scenario: Scenario): Promise<WorkflowHandle> {
  const handle = await start(scenario);
  await untilStatus(handle, 'waiting-approval');
  await decide(handle, 'approve', 'ben');
  return handle;
}

/** The node as the plan finds it. */
function found(scenario: Scenario, node: Partial<PlannedNode>): Scenario {
  return scenario.on('planRebuild', (input) => {
    const plan = rebuildPlan(input, scenario.hosts);
    return Promise.resolve({ ...plan, node: { ...plan.node, ...node } });
  });
}

const START: ActivityName[] = ['startNode'];
const RETURN: ActivityName[] = ['returnSafetyCopy', ...START];
const STEPS: [string, ActivityName, ActivityName[]][] = [
  ['stop-standby', 'stopStandby', START],
  ['take-safety-copy', 'takeSafetyCopy', RETURN],
  ['copy-data', 'copyStandby', RETURN],
  ['start-standby', 'startStandby', ['stopStandby', ...RETURN]],
];

test('nothing before the approval; then stop, safety copy, copy, start, on the host of the node', async () => {
  const scenario = env.scenario();
  const handle = await start(scenario, { method: 'rewind', rateLimitKbPerSecond: 50_000 });
  const waiting = await untilStatus(handle, 'waiting-approval');
  expect(waiting.gate).toMatchObject({ name: 'wipe' });
  expect(waiting.gate?.evidence.map((row) => row.check)).toEqual([
    'peer-healthy',
    'space',
    'data of chicago that are replaced',
    'safety copy',
  ]);
  expect(waiting.plan).toMatchObject({ rebuild: { node: 'chicago', from: 'dallas', method: 'rewind' } });
  expect(waiting.plan?.summary).toContain('copies 2.0 GB in about 12 s, no faster than 50 MB/s');
  expect(scenario.names()).toEqual(['readEnvironment', 'planRebuild']);
  await decide(handle, 'approve', 'ben');
  await expect(handle.result()).resolves.toMatchObject({ outcome: 'rebuilt', safetyCopy: { verified: true } });
  expect(scenario.names().slice(2)).toEqual(['stopStandby', 'takeSafetyCopy', 'copyStandby', 'startStandby']);
  expect(scenario.inputsOf('planRebuild')).toMatchObject([
    { node: 'chicago', method: 'rewind', rateLimitKbPerSecond: 50_000, run: `${scenario.environment}/change` },
  ]);
  expect((await viewOf(handle)).measured.rebuildSeconds).toEqual(expect.any(Number));
  await saveHistory(handle, 'rebuild-standby.approved');
});

test('--plan ends after the check, with the plan', async () => {
  const scenario = env.scenario();
  const handle = await start(scenario, { planOnly: true });
  await expect(handle.result()).resolves.toMatchObject({ outcome: 'planned', plan: { hash: 'rebuild-hash-1' } });
  expect(scenario.names()).toEqual(['readEnvironment', 'planRebuild']);
});

test.each<[string, (scenario: Scenario) => void, Partial<RebuildStandbyRunInput>, string, RegExp]>([
  ['an unknown node', () => undefined, { node: 'berlin' }, 'NotFound', /has no node berlin; it has dallas, chicago/],
  [
    'the primary',
    (s) => s.fail('planRebuild', stepFailure('PreconditionFailed', 'dallas is the primary'), 9),
    { node: 'dallas' },
    'PreconditionFailed',
    /dallas is the primary/,
  ],
  [
    'a check that does not hold',
    (s) =>
      s.on('planRebuild', (input) =>
        Promise.resolve(
          rebuildPlan(input, s.hosts, {
            checks: [{ check: 'peer-healthy', expected: 'yes', actual: 'no answer', ok: false }],
          }),
        ),
      ),
    {},
    'PreconditionFailed',
    /peer-healthy: found no answer, expected yes/,
  ],
])('%s is refused at once, with nothing touched', async (_name, arrange, more, type, message) => {
  const scenario = env.scenario();
  arrange(scenario);
  const failure = await failureOf(await start(scenario, more));
  expect(failure.type).toBe(type);
  expect(failure.message).toMatch(message);
  expect(scenario.names()).not.toContain('stopStandby');
});

test('a rejected gate ends the run with nothing changed', async () => {
  const scenario = env.scenario();
  const handle = await start(scenario);
  await untilStatus(handle, 'waiting-approval');
  await decide(handle, 'reject', 'ben');
  await expect(failureOf(handle)).resolves.toMatchObject({ type: 'RunRejected' });
  expect(scenario.names()).not.toContain('stopStandby');
});

test('every step that fails parks the run, and a retry goes on from there to the same end', async () => {
  const scenario = env.scenario();
  for (const [, activity] of STEPS) scenario.fail(activity, broken());
  const handle = await approved(scenario);
  for (const [step] of STEPS) {
    const view = await until(handle, ({ failure }) => failure?.step === step);
    expect(view.failure).toMatchObject({ code: 'CommandFailed', choices: ['retry', 'abort'] });
    await command(handle, 'retry');
  }
  await expect(handle.result()).resolves.toMatchObject({ outcome: 'rebuilt' });
  expect(scenario.entries('step-failed').map((body) => body.step)).toEqual(STEPS.map(([step]) => step));
  await saveHistory(handle, 'rebuild-standby.every-step-retried');
});

test.each(STEPS)('an abort at %s puts back what was changed, last change first', async (step, activity, undo) => {
  const scenario = env.scenario().fail(activity, broken());
  const handle = await approved(scenario);
  await until(handle, ({ failure }) => failure?.step === step);
  const before = scenario.names().length;
  await command(handle, 'abort', { by: 'ana', reason: 'stop' });
  await expect(failureOf(handle)).resolves.toMatchObject({ type: 'RunAborted', message: 'aborted by ana: stop' });
  expect(scenario.names().slice(before)).toEqual(undo);
  if (step === 'start-standby') await saveHistory(handle, 'rebuild-standby.aborted-late');
});

test.each<[string, Partial<PlannedNode>]>([
  ['was down before', { state: 'down', role: 'standby' }],
  ['holds the data of a primary that died', { state: 'down', role: 'primary' }],
  ['is of an unknown role', { state: 'running', role: 'unknown' }],
])('an abort never starts a node that %s', async (_name, node) => {
  const scenario = found(env.scenario().fail('copyStandby', broken()), node);
  const handle = await approved(scenario);
  await untilStatus(handle, 'needs-attention');
  await command(handle, 'abort', { by: 'ana', reason: 'stop' });
  await failureOf(handle);
  expect(scenario.names()).toContain('returnSafetyCopy');
  expect(scenario.names()).not.toContain('startNode');
  expect(scenario.entries('undo-done').at(-1)).toMatchObject({ result: { outcome: 'left-down' } });
});

function undoInput({ environment, hosts }: Scenario, node: Partial<PlannedNode> = {}): UndoRebuildInput {
  const asked = { environment, node: 'chicago', run: `${environment}/change`, runId: 'rebuild-run-id' };
  const plan = rebuildPlan({ ...asked, method: 'auto', rateLimitKbPerSecond: null }, hosts);
  return {
    ...request(environment),
    ofRun: asked.run,
    rebuild: {
      run: asked.run,
      runId: asked.runId,
      environment,
      plan: { ...plan, node: { ...plan.node, ...node } },
      safetyCopy: safetyCopy(environment, hosts.standby, asked.runId),
    },
  };
}

function withCopy(scenario: Scenario, more: Parameters<typeof safetyCopy>[3] = {}): Scenario {
  const copy = safetyCopy(scenario.environment, scenario.hosts.standby, 'rebuild-run-id', more);
  return scenario.on('listSafetyCopies', () => Promise.resolve({ copies: [copy] }));
}

const startUndo = (scenario: Scenario, node: Partial<PlannedNode> = {}): Promise<WorkflowHandle> =>
  env.start('undoRebuild', `${scenario.environment}/change`, undoInput(scenario, node));

test('undo of a rebuild: the safety copy of that run comes back after approval, and the standby starts', async () => {
  const scenario = withCopy(env.scenario());
  const handle = await startUndo(scenario);
  const waiting = await untilStatus(handle, 'waiting-approval');
  expect(waiting.gate).toMatchObject({ name: 'undo' });
  expect([...scenario.names()].sort()).toEqual(['listSafetyCopies', 'readEnvironment', 'readTopology']);
  await decide(handle, 'approve', 'ben');
  await expect(handle.result()).resolves.toMatchObject({
    outcome: 'undone',
    node: 'chicago',
    setAside: '/srv/chicago/data.undone',
    started: true,
  });
  expect(scenario.names().slice(3)).toEqual(['stopStandby', 'returnSafetyCopy', 'startNode']);
  expect(scenario.inputsOf('returnSafetyCopy')).toMatchObject([{ runId: 'rebuild-run-id' }]);
  await saveHistory(handle, 'undo-rebuild.approved');
});

test('undo of a rebuild: the data of a primary that died come back, but are not started', async () => {
  const scenario = withCopy(env.scenario());
  const handle = await startUndo(scenario, { state: 'down', role: 'primary' });
  await untilStatus(handle, 'waiting-approval');
  await decide(handle, 'approve', 'ben');
  await expect(handle.result()).resolves.toMatchObject({ outcome: 'undone', started: false });
  expect(scenario.names()).not.toContain('startNode');
});

test('undo of a rebuild: each step parks; an abort starts again only what stands there as a standby', async () => {
  const steps: [string, ActivityName, ActivityName[]][] = [
    ['stop-standby', 'stopStandby', ['startNode']],
    ['return-safety-copy', 'returnSafetyCopy', []],
  ];
  for (const [step, activity, undo] of steps) {
    const scenario = withCopy(env.scenario()).fail(activity, broken());
    const handle = await startUndo(scenario, { state: 'down', role: 'primary' });
    await untilStatus(handle, 'waiting-approval');
    await decide(handle, 'approve', 'ben');
    await until(handle, ({ failure }) => failure?.step === step);
    const before = scenario.names().length;
    await command(handle, 'abort', { by: 'ana', reason: 'stop' });
    await failureOf(handle);
    expect([step, scenario.names().slice(before)]).toEqual([step, undo]);
  }
});

test('undo of a rebuild: a standby that does not start may be skipped', async () => {
  const scenario = withCopy(env.scenario()).fail('startNode', broken(), 9);
  const handle = await startUndo(scenario);
  await untilStatus(handle, 'waiting-approval');
  await decide(handle, 'approve', 'ben');
  const parked = await untilStatus(handle, 'needs-attention');
  expect(parked.failure).toMatchObject({ step: 'start-standby', choices: ['retry', 'skip', 'abort'] });
  await command(handle, 'skip', { by: 'ana', reason: 'it is looked at' });
  await expect(handle.result()).resolves.toMatchObject({ outcome: 'undone', started: false });
});

test.each<[string, (scenario: Scenario) => void, string, RegExp]>([
  ['the copy is gone', () => undefined, 'SafetyCopyMissing', /is not on host/],
  ['the copy is of another run', (s) => withCopy(s, { runId: 'other' }), 'SafetyCopyMissing', /is not on host/],
  [
    'the copy is of another system',
    (s) => withCopy(s, { systemIdentifier: `${SYSTEM_IDENTIFIER}9` }),
    'IdentityMismatch',
    /is of system/,
  ],
  [
    'the node is the primary now',
    (s) =>
      withCopy(s).on('readTopology', () =>
        Promise.resolve(topology(s.environment, s.hosts, { dallas: 'standby', chicago: 'primary' })),
      ),
    'PreconditionFailed',
    /chicago is the primary now/,
  ],
])('undo of a rebuild is refused when %s', async (_name, arrange, type, message) => {
  const scenario = env.scenario();
  arrange(scenario);
  const failure = await failureOf(await startUndo(scenario));
  expect(failure.type).toBe(type);
  expect(failure.message).toMatch(message);
  expect(scenario.names()).not.toContain('stopStandby');
});
