/**
 * Scenario: people decide late about a flip or a rebuild, or the run is held up after they did (time-skipping server).
 * Verified: 1 a late approval is carried out only when the plan still holds, else it has to be given again under another code; 2 a host that comes
 * back long after the decision does not flip by surprise; 3 a gate that is opened again shows what is true now.
 */
import type { WorkflowHandle } from '@temporalio/client';

import { stepFailure } from '../../activities/lib/failure.js';
import { flipPlan, rebuildPlan } from '../support/flip-fixtures.js';
import type { Scenario } from '../support/stub-activities.js';
import {
  command,
  createWorkflowEnv,
  decide,
  saveHistory,
  until,
  untilStatus,
  type WorkflowEnv,
} from '../support/workflow-env.js';

jest.setTimeout(60_000);

let env: WorkflowEnv;
beforeEach(async () => {
  env = await createWorkflowEnv('time-skipping');
});
afterEach(async () => {
  await env.stop();
});

const request = (environment: string) => ({
  environment,
  requestedBy: 'ana',
  reason: 'kernel update',
  requestedAt: new Date().toISOString(),
});

const flip = ({ environment }: Scenario): Promise<WorkflowHandle> =>
  env.start('flipDb', `${environment}/change`, { ...request(environment), to: null, failover: false, mode: 'stop' });

const rebuild = ({ environment }: Scenario): Promise<WorkflowHandle> => {
  const input = { ...request(environment), node: 'chicago', method: 'auto', rateLimitKbPerSecond: null };
  return env.start('rebuildStandby', `${environment}/change`, input);
};

test('a late approval of a flip whose plan still holds is carried out, after another look', async () => {
  const scenario = env.scenario();
  const handle = await flip(scenario);
  await untilStatus(handle, 'waiting-approval');
  await env.env.sleep('10 minutes');
  const before = scenario.names().length;
  await decide(handle, 'approve', 'ben');
  await untilStatus(handle, 'completed');
  expect(scenario.names().slice(before, before + 2)).toEqual(['readTopology', 'planFlip']);
  expect(scenario.entries('gate-opened')).toHaveLength(1);
});

test('a late approval of a flip whose plan is another one now has to be given again, under another code', async () => {
  const scenario = env.scenario();
  const handle = await flip(scenario);
  const first = await untilStatus(handle, 'waiting-approval');
  scenario.on('planFlip', (input) =>
    Promise.resolve(flipPlan(input, scenario.hosts, { hash: 'flip-hash-2', routing: 'haproxy lb1' })),
  );
  await env.env.sleep('10 minutes');
  await decide(handle, 'approve', 'ben');
  const second = await until(handle, ({ gate }) => gate !== null && gate.code !== first.gate?.code);
  expect(second.plan).toMatchObject({ hash: 'flip-hash-2', flip: { routing: 'haproxy lb1' } });
  expect(scenario.names()).not.toContain('flipWrites');
  await decide(handle, 'approve', 'ben');
  await untilStatus(handle, 'completed');
  expect(scenario.inputsOf('flipWrites')).toMatchObject([{ plan: { hash: 'flip-hash-2' } }]);
  await saveHistory(handle, 'flip-db.approved-late');
});

test('a late approval of a flip that is not possible any more parks, with nothing changed', async () => {
  const scenario = env.scenario();
  const handle = await flip(scenario);
  await untilStatus(handle, 'waiting-approval');
  scenario.fail('planFlip', stepFailure('PreconditionFailed', 'lag is 1 GB'), 1);
  await env.env.sleep('10 minutes');
  await decide(handle, 'approve', 'ben');
  const parked = await untilStatus(handle, 'needs-attention');
  expect(parked.failure).toMatchObject({ step: 'approve-flip', code: 'PreconditionFailed', message: 'lag is 1 GB' });
  expect(scenario.names()).not.toContain('flipWrites');
  await command(handle, 'retry');
  await untilStatus(handle, 'waiting-approval');
});

test('a run that was held up for long after the decision asks again before it flips', async () => {
  const scenario = env.scenario().fail('flipWrites', stepFailure('HostUnreachable', 'h1 does not answer'));
  const handle = await flip(scenario);
  const first = await untilStatus(handle, 'waiting-approval');
  await decide(handle, 'approve', 'ben');
  await untilStatus(handle, 'needs-attention');
  await env.env.sleep('2 hours');
  await command(handle, 'retry');
  const again = await untilStatus(handle, 'waiting-approval');
  expect(again.gate?.code).not.toBe(first.gate?.code);
  expect(scenario.inputsOf('flipWrites')).toHaveLength(1);
  await decide(handle, 'approve', 'ben');
  await untilStatus(handle, 'completed');
});

test('a gate that expired opens again with a plan of now', async () => {
  const scenario = env.scenario({ expiresInSeconds: 3_600 });
  const handle = await flip(scenario);
  await untilStatus(handle, 'waiting-approval');
  await env.env.sleep('2 hours');
  await untilStatus(handle, 'needs-attention');
  const before = scenario.inputsOf('planFlip').length;
  await command(handle, 'retry');
  await untilStatus(handle, 'waiting-approval');
  expect(scenario.inputsOf('planFlip').length).toBeGreaterThan(before);
});

test('a late approval of a rebuild is carried out when only sizes and free space are others now', async () => {
  const scenario = env.scenario();
  const handle = await rebuild(scenario);
  await untilStatus(handle, 'waiting-approval');
  scenario.on('planRebuild', (input) =>
    Promise.resolve(rebuildPlan(input, scenario.hosts, { hash: 'rebuild-hash-2', copyBytes: 2_100_000_000 })),
  );
  await env.env.sleep('10 minutes');
  await decide(handle, 'approve', 'ben');
  await untilStatus(handle, 'completed');
  expect(scenario.entries('gate-opened')).toHaveLength(1);
});

test('a late approval of a rebuild whose plan is another one now has to be given again', async () => {
  const scenario = env.scenario();
  const handle = await rebuild(scenario);
  const first = await untilStatus(handle, 'waiting-approval');
  scenario.on('planRebuild', (input) =>
    Promise.resolve(rebuildPlan(input, scenario.hosts, { hash: 'rebuild-hash-2', method: 'rewind', why: 'it can' })),
  );
  await env.env.sleep('10 minutes');
  await decide(handle, 'approve', 'ben');
  const second = await until(handle, ({ gate }) => gate !== null && gate.code !== first.gate?.code);
  expect(second.plan?.rebuild).toMatchObject({ method: 'rewind' });
  expect(scenario.names()).not.toContain('stopStandby');
  await decide(handle, 'approve', 'ben');
  await untilStatus(handle, 'completed');
  expect(scenario.inputsOf('copyStandby')).toMatchObject([{ plan: { method: 'rewind' } }]);
});
