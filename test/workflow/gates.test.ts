/**
 * Scenario: people (and machines) decide at the gate promote of a pitr run.
 * Verified: 1 every kind of decision that does not count is refused, with its reason in answer, status and record; 2 what counts counts
 * once; 3 nothing is promoted before the last approval that is needed; 4 nothing that arrives can break the run.
 */
import type { WorkflowHandle } from '@temporalio/client';
import type { Payload } from '@temporalio/common';

import type { DecisionOutcome } from '../../shared/contracts/decisions.js';
import type { GatePolicy } from '../../shared/contracts/environment.js';
import type { Scenario } from '../support/stub-activities.js';
import {
  createWorkflowEnv,
  decide,
  eventually,
  failureOf,
  command,
  pitrInput,
  saveHistory,
  untilStatus,
  viewOf,
  type WorkflowEnv,
} from '../support/workflow-env.js';

jest.setTimeout(60_000);

let env: WorkflowEnv;
beforeAll(async () => {
  env = await createWorkflowEnv();
});
afterAll(async () => {
  await env.stop();
});

async function atGate(
  policy: Partial<GatePolicy> = {},
): Promise<{ scenario: Scenario; handle: WorkflowHandle; code: string }> {
  const scenario = env.scenario(policy);
  const handle = await env.start('pitr', `${scenario.environment}/pitr/1`, pitrInput(scenario.environment));
  const view = await untilStatus(handle, 'waiting-approval');
  return { scenario, handle, code: view.gate?.code ?? '' };
}

async function stop(handle: WorkflowHandle): Promise<void> {
  await command(handle, 'abort');
  await failureOf(handle);
}

const send = (handle: WorkflowHandle, payload: unknown): Promise<DecisionOutcome> =>
  handle.executeUpdate<DecisionOutcome, [unknown]>('decide', { args: [payload] });

test('an early decision is refused and recorded, although nothing was shown yet', async () => {
  const scenario = env.scenario();
  let goOn = (): void => undefined;
  const held = new Promise<void>((resolve) => (goOn = resolve));
  scenario.on('restoreBase', async (_input, usual) => {
    await held;
    return usual();
  });
  const handle = await env.start('pitr', `${scenario.environment}/pitr/1`, pitrInput(scenario.environment));
  const early = await send(handle, { gate: 'promote', code: 'ABCDEF', by: 'ben', decision: 'approve' });
  expect(early).toMatchObject({ counted: false, why: 'early: gate promote is not open yet', approvals: 0 });
  goOn();
  await untilStatus(handle, 'waiting-approval');
  expect(scenario.entries('decision')).toMatchObject([{ counted: false, why: 'early: gate promote is not open yet' }]);
  expect((await viewOf(handle)).decisions).toMatchObject([{ by: 'ben', counted: false }]);
  await stop(handle);
});

test.each<[string, Partial<GatePolicy>, Record<string, unknown>, string]>([
  ['a wrong code', {}, { code: '000000' }, 'wrong code'],
  ['an unknown gate', {}, { gate: 'wipe' }, 'unknown gate: this runbook has other-store, promote'],
  [
    'a foreign person',
    { from: ['Ana', 'Cleo'] },
    {},
    'foreign: ben is not one of those who may decide here (Ana, Cleo)',
  ],
  ['a foreign rejection', { from: ['Ana'] }, { decision: 'reject' }, 'foreign: ben is not one of those'],
  ['the own request', { notRequester: true }, { by: ' ANA ' }, 'own request: the person who asked'],
  ['a missing signature', { identity: 'signed' }, {}, 'signature missing'],
  ['an unsigned rejection', { identity: 'signed' }, { decision: 'reject' }, 'signature missing'],
  ['a wrong signature', { identity: 'signed' }, { signature: 'bad' }, 'invalid signature: not an allowed signer'],
  ['no name', {}, { by: undefined }, 'malformed: by missing or not a text'],
  ['a name that is none', {}, { by: { name: 'ben' } }, 'malformed: by missing or not a text'],
  ['no verdict', {}, { decision: 'yes' }, 'malformed: decision must be "approve" or "reject"'],
  ['a signature that is no text', { identity: 'signed' }, { signature: 7 }, 'malformed: signature is not a text'],
])('%s is refused, and answer, status and record say why', async (_title, policy, more, why) => {
  const { scenario, handle } = await atGate(policy);
  const answer = await decide(handle, 'approve', 'ben', more);
  expect(answer).toMatchObject({ counted: false, approvals: 0 });
  expect(answer.why).toContain(why);
  const view = await viewOf(handle);
  expect(view.status).toBe('waiting-approval');
  expect([...view.decisions, ...(view.gate?.decisions ?? [])]).toEqual([answer]);
  expect(scenario.entries('decision')).toMatchObject([{ counted: false, why: answer.why, entry: 'update' }]);
  expect(scenario.names()).not.toContain('planPromotion');
  await stop(handle);
});

test.each<[string, unknown]>([
  ['a text', 'approve it please'],
  ['nothing', undefined],
  ['null', null],
  ['an array', ['promote', 'K7QF2M', 'ben']],
  ['an empty object', {}],
])('a signal with %s from the Web UI is refused and recorded, and the run goes on', async (_title, payload) => {
  const { scenario, handle, code } = await atGate();
  await handle.signal<[unknown?]>('approve', ...(payload === undefined ? [] : [payload]));
  await eventually(() => scenario.entries('decision').length === 1, 'the refused decision is in the record');
  expect(scenario.entries('decision')).toMatchObject([{ counted: false, entry: 'signal' }]);
  expect(scenario.entries('decision')[0]?.why).toMatch(/^malformed/);
  await handle.signal('reject', { gate: 'promote', code: ` ${code.toLowerCase()} `, by: 'ben' });
  await expect(failureOf(handle)).resolves.toMatchObject({ type: 'RunRejected' });
});

test('a signal in an encoding that nobody can read does not block the run', async () => {
  const { scenario, handle } = await atGate();
  const payload: Payload = {
    metadata: { encoding: new TextEncoder().encode('json/protobuf') },
    data: new TextEncoder().encode('{"gate":'),
  };
  await env.env.connection.workflowService.signalWorkflowExecution({
    namespace: env.env.namespace ?? 'default',
    workflowExecution: { workflowId: handle.workflowId },
    signalName: 'approve',
    input: { payloads: [payload] },
  });
  await eventually(() => scenario.entries('decision').length === 1, 'the unreadable decision is in the record');
  expect((await decide(handle, 'approve', 'ben')).counted).toBe(true);
  await expect(handle.result()).resolves.toMatchObject({ outcome: 'promoted' });
  await saveHistory(handle, 'pitr.unreadable-signal');
});

test('two of three must approve: one person counts once, under any spelling of the name', async () => {
  const { scenario, handle } = await atGate({ required: 2, from: ['Ben', 'Cleo', 'Ana'] });
  expect(await decide(handle, 'approve', 'ben')).toMatchObject({ counted: true, approvals: 1, required: 2 });
  expect(await decide(handle, 'approve', ' BEN\u200b')).toMatchObject({ counted: false, approvals: 1 });
  expect(scenario.names()).not.toContain('planPromotion');
  expect((await viewOf(handle)).status).toBe('waiting-approval');
  expect(await decide(handle, 'approve', 'Cleo')).toMatchObject({ counted: true, approvals: 2 });
  await handle.result();
  expect(scenario.entries('decision').map((body) => [body.by, body.counted])).toEqual([
    ['ben', true],
    ['BEN', false],
    ['Cleo', true],
  ]);
  expect(scenario.entries('gate-closed')).toMatchObject([{ outcome: 'approved' }]);
  await saveHistory(handle, 'pitr.two-approvals');
});

test('decisions that arrive together are judged one after the other: the last one needed counts once', async () => {
  const { scenario, handle, code } = await atGate({ required: 2, identity: 'signed' });
  const approve = (by: string): Promise<DecisionOutcome> =>
    send(handle, { gate: 'promote', code, by, decision: 'approve', signature: 'good' });
  const answers = await Promise.all(['ben', 'ben', 'cleo', 'dora', 'ben'].map(approve));
  expect(answers.filter((answer) => answer.counted)).toHaveLength(2);
  expect(new Set(answers.filter((answer) => answer.counted).map((answer) => answer.by)).size).toBe(2);
  expect(answers.filter((answer) => answer.counted).map((answer) => answer.identity)).toEqual(['signed', 'signed']);
  await handle.result();
  expect(scenario.entries('decision')).toHaveLength(5);
  expect(scenario.inputsOf('planPromotion')).toHaveLength(1);
});

test('a signed approval is checked over gate, code, name and run; when that cannot be done it does not count', async () => {
  const { scenario, handle, code } = await atGate({ identity: 'signed' });
  scenario.fail('verifySignature', new TypeError('no ssh-keygen'));
  expect(await decide(handle, 'approve', 'ben', { signature: 'good' })).toMatchObject({ counted: false });
  expect(await decide(handle, 'approve', 'ben', { signature: 'good' })).toMatchObject({
    counted: true,
    identity: 'signed',
  });
  expect(scenario.inputsOf('verifySignature').at(-1)).toEqual({
    environment: scenario.environment,
    by: 'ben',
    text: `pgr approve ${handle.workflowId} promote ${code} ben\n`,
    signature: 'good',
  });
  await handle.result();
});

test('a decision after the gate has closed is refused', async () => {
  const { scenario, handle, code } = await atGate();
  let goOn = (): void => undefined;
  const held = new Promise<void>((resolve) => (goOn = resolve));
  scenario.on('stopApp', async (_input, usual) => {
    await held;
    return usual();
  });
  await decide(handle, 'approve', 'ben');
  const late = await send(handle, { gate: 'promote', code, by: 'cleo', decision: 'reject' });
  expect(late).toMatchObject({ counted: false, why: 'closed: gate promote was approved already' });
  goOn();
  await expect(handle.result()).resolves.toMatchObject({ outcome: 'promoted' });
});

test('one rejection by somebody who may decide closes the gate, whatever was approved before', async () => {
  const { scenario, handle } = await atGate({ required: 2 });
  await decide(handle, 'approve', 'ben');
  await handle.signal('reject', {
    gate: 'promote',
    code: (await viewOf(handle)).gate?.code,
    by: 'cleo',
    comment: 'no',
  });
  await expect(failureOf(handle)).resolves.toMatchObject({ type: 'RunRejected' });
  expect(scenario.entries('gate-closed')).toMatchObject([{ outcome: 'rejected' }]);
  expect(scenario.names()).not.toContain('planPromotion');
});

test('the handlers tell the Web UI how to use them, with an example to copy', async () => {
  const { handle, code } = await atGate();
  const metadata = await handle.query<{
    currentDetails: string;
    definition: {
      signalDefinitions: { name: string; description: string }[];
      updateDefinitions: { name: string; description: string }[];
    };
  }>('__temporal_workflow_metadata');
  const { signalDefinitions, updateDefinitions } = metadata.definition;
  expect(signalDefinitions.map(({ name }) => name)).toEqual(expect.arrayContaining(['approve', 'reject']));
  for (const { name, description } of [...signalDefinitions, ...updateDefinitions]) {
    expect([name, description]).toEqual([name, expect.stringMatching(/\{".*"\}/)]);
  }
  expect(metadata.currentDetails).toContain('More Actions → Send a Signal → `approve`');
  const toPaste = JSON.stringify({ gate: 'promote', code, by: 'YOUR NAME', comment: '' }, null, 2);
  expect(metadata.currentDetails).toContain(toPaste);
  expect(metadata.currentDetails).toContain(`pgr approve ${handle.workflowId} promote --code ${code}`);
  await stop(handle);
});
