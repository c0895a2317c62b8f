/**
 * Scenario: writes are moved to the standby, planned and as a failover; every step fails; people decide late, or say no.
 * Verified: 1 nothing is changed before the approval, and the exact inputs of every activity; 2 every step parks, goes on after a retry and puts
 * back what it must on abort; 3 a plan that is not true any more is approved again; 4 nothing is promoted while the old primary may take writes.
 */
import type { WorkflowHandle } from '@temporalio/client';

import { stepFailure } from '../../activities/lib/failure.js';
import type { FlipDbInput } from '../../shared/contracts/runs.js';
import { flipPlan, topology } from '../support/flip-fixtures.js';
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

jest.setTimeout(120_000);

let env: WorkflowEnv;
beforeAll(async () => {
  env = await createWorkflowEnv();
});
afterAll(async () => {
  await env.stop();
});

const broken = (): Error => stepFailure('CommandFailed', 'it broke', { hint: 'mend it' });
const undone = (): Error => stepFailure('FlipUndone', 'pool1 could not pause');

function flipInput({ environment }: Scenario, more: Partial<FlipDbInput> = {}): FlipDbInput {
  const requestedAt = new Date().toISOString();
  const request = { environment, requestedBy: 'ana', reason: 'kernel update', requestedAt };
  return { ...request, to: null, failover: false, mode: 'stop', ...more };
}

const start = (scenario: Scenario, more: Partial<FlipDbInput> = {}): Promise<WorkflowHandle> =>
  env.start('flipDb', `${scenario.environment}/change`, flipInput(scenario, more));

const atGate = (handle: WorkflowHandle, gate: string) => until(handle, (view) => view.gate?.name === gate);

/** A failover whose old primary does not answer; its host does, unless a test says otherwise. */
function deadPrimary(): Scenario {
  const scenario = env.scenario();
  const { environment, hosts } = scenario;
  return scenario.on('readTopology', () =>
    Promise.resolve(topology(environment, hosts, { dallas: 'down', chicago: 'standby' })),
  );
}

const silent = (): Error => stepFailure('HostUnreachable', 'host does not answer');

/** Step, its activity, and what an abort there must call. */
const PLANNED: [string, ActivityName, ActivityName[]][] = [
  ['flip', 'flipWrites', ['readTopology']],
  ['verify-writes', 'verifyWrites', ['readTopology']],
  ['verify-archive', 'backfillArchive', ['readTopology']],
  ['rejoin-old-primary', 'rejoinOldPrimary', ['readTopology']],
];

test('a planned flip: nothing before the approval, then every activity once, on the right host', async () => {
  const scenario = env.scenario();
  const { environment, hosts } = scenario;
  const handle = await start(scenario, { to: 'chicago' });
  const waiting = await atGate(handle, 'flip');
  expect(waiting.gate?.evidence.map((row) => row.check)).toEqual(['same-system', 'disk of chicago', 'disk of dallas']);
  expect(waiting.plan).toMatchObject({
    flip: { from: 'dallas', to: 'chicago', expectedOutageMs: 150, failover: false },
  });
  expect(scenario.names().sort()).toEqual(
    ['readEnvironment', 'readTopology', 'planFlip', 'checkFlipHost', 'checkFlipHost', 'planFlip'].sort(),
  );
  const before = scenario.names().length;
  await decide(handle, 'approve', 'ben');
  await expect(handle.result()).resolves.toMatchObject({
    outcome: 'flipped',
    flip: { timeline: 2, writeOutageMs: 120 },
    rejoin: { outcome: 'rejoined' },
    measured: { writeOutageMs: 120 },
  });
  expect(scenario.names().slice(before)).toEqual(['flipWrites', 'verifyWrites', 'backfillArchive', 'rejoinOldPrimary']);
  expect(scenario.inputsOf('checkFlipHost')).toEqual(
    expect.arrayContaining([
      { environment, node: 'chicago', peer: 'dallas' },
      { environment, node: 'dallas', peer: 'chicago' },
    ]),
  );
  expect(scenario.inputsOf('flipWrites')).toMatchObject([{ run: `${environment}/change`, fenceProof: [] }]);
  expect(scenario.inputsOf('verifyWrites')).toEqual([{ environment, expectNode: 'chicago', expectTimeline: 2 }]);
  expect(scenario.inputsOf('backfillArchive')).toMatchObject([
    { node: 'chicago', fromTimeline: 1, switchLsn: '0/5B0000D8' },
  ]);
  expect(scenario.inputsOf('rejoinOldPrimary')).toMatchObject([
    { node: 'dallas', to: 'chicago', timeline: 2, expect: { host: hosts.primary } },
  ]);
  const { steps } = await viewOf(handle);
  expect(steps.filter(({ status }) => status === 'skipped').map(({ id }) => id)).toEqual([
    'fence-old-primary',
    'approve-fence',
  ]);
  await saveHistory(handle, 'flip-db.approved');
});

test('--plan ends after the preflight, with the plan, and changes nothing', async () => {
  const scenario = env.scenario();
  const handle = await env.start('flipDb', `${scenario.environment}/plan/1`, flipInput(scenario, { planOnly: true }));
  await expect(handle.result()).resolves.toMatchObject({ outcome: 'planned', plan: { hash: 'flip-hash-1' } });
  expect((await viewOf(handle)).evidence).toHaveLength(3);
  expect(scenario.names()).not.toContain('flipWrites');
  await saveHistory(handle, 'flip-db.planned');
});

test.each<[string, (scenario: Scenario) => void, string, string]>([
  [
    'a plan that is refused',
    (s) => s.fail('planFlip', stepFailure('PreconditionFailed', 'lag is 1 GB'), 9),
    'PreconditionFailed',
    'lag is 1 GB',
  ],
  [
    'an unknown node',
    (s) => s.fail('planFlip', stepFailure('NotFound', 'there is no node x'), 9),
    'NotFound',
    'no node x',
  ],
  [
    'a check of a host that fails',
    (s) =>
      s.on('checkFlipHost', ({ node }) =>
        Promise.resolve({
          checks: [{ check: `login of ${node}`, expected: 'works', actual: 'refused', ok: node !== 'dallas' }],
        }),
      ),
    'PreconditionFailed',
    'login of dallas: found refused, expected works',
  ],
  [
    'a host of the old primary that does not answer',
    (s) => s.on('checkFlipHost', ({ node }, usual) => (node === 'dallas' ? Promise.reject(silent()) : usual())),
    'HostUnreachable',
    'does not answer',
  ],
])('%s ends the run at once: nothing was begun', async (_name, arrange, type, message) => {
  const scenario = env.scenario();
  arrange(scenario);
  const handle = await start(scenario);
  const failure = await failureOf(handle);
  expect(failure.type).toBe(type);
  expect(failure.message).toContain(message);
  expect((await viewOf(handle)).status).toBe('failed');
  expect(scenario.names()).not.toContain('flipWrites');
});

test('a rejected gate ends the run as rejected, with nothing changed', async () => {
  const scenario = env.scenario();
  const handle = await start(scenario);
  await atGate(handle, 'flip');
  await decide(handle, 'reject', 'ben');
  await expect(failureOf(handle)).resolves.toMatchObject({ type: 'RunRejected' });
  expect(scenario.names()).not.toContain('flipWrites');
  await saveHistory(handle, 'flip-db.rejected');
});

test('planned: every step that fails parks the run, and a retry goes on from there to the same end', async () => {
  const scenario = env.scenario();
  for (const [, activity] of PLANNED) scenario.fail(activity, broken());
  const handle = await start(scenario);
  await atGate(handle, 'flip');
  await decide(handle, 'approve', 'ben');
  for (const [step] of PLANNED) {
    const view = await until(handle, ({ failure }) => failure?.step === step);
    const skip = step === 'rejoin-old-primary' ? ['skip'] : [];
    expect(view.failure).toMatchObject({ code: 'CommandFailed', choices: ['retry', ...skip, 'abort'] });
    await command(handle, 'retry');
  }
  await expect(handle.result()).resolves.toMatchObject({ outcome: 'flipped' });
  expect(scenario.entries('step-failed').map((body) => body.step)).toEqual(PLANNED.map(([step]) => step));
  await saveHistory(handle, 'flip-db.every-step-retried');
});

test.each(PLANNED)(
  'planned: an abort at %s puts nothing back, and says who takes writes',
  async (step, activity, undo) => {
    const scenario = env.scenario().fail(activity, broken());
    const handle = await start(scenario);
    await atGate(handle, 'flip');
    await decide(handle, 'approve', 'ben');
    await until(handle, ({ failure }) => failure?.step === step);
    const before = scenario.names().length;
    await command(handle, 'abort', { by: 'ana', reason: 'stop' });
    await expect(failureOf(handle)).resolves.toMatchObject({ type: 'RunAborted' });
    expect(scenario.names().slice(before)).toEqual(undo);
    expect((await viewOf(handle)).evidence?.[0]).toMatchObject({
      check: 'write address after the abort',
      actual: 'dallas',
    });
  },
);

test('an archive that is not whole parks the run until it is', async () => {
  const scenario = env.scenario();
  let whole = false;
  scenario.on('backfillArchive', async (_input, usual) => {
    const result = await usual();
    return whole
      ? result
      : { ...result, checks: [{ check: 'continuous', expected: 'yes', actual: 'a hole', ok: false }] };
  });
  const handle = await start(scenario);
  await atGate(handle, 'flip');
  await decide(handle, 'approve', 'ben');
  const parked = await untilStatus(handle, 'needs-attention');
  expect(parked.failure).toMatchObject({
    step: 'verify-archive',
    code: 'ArchiveFailing',
    message: 'continuous: found a hole, expected yes',
  });
  whole = true;
  await command(handle, 'retry');
  await expect(handle.result()).resolves.toMatchObject({ outcome: 'flipped' });
});

test('an old primary that has to be rebuilt is no failure: the result says so', async () => {
  const scenario = env
    .scenario()
    .on('rejoinOldPrimary', () =>
      Promise.resolve({ outcome: 'needs-rebuild', why: 'no WAL for pg_rewind', lost: { commits: [], exact: true } }),
    );
  const handle = await start(scenario);
  await atGate(handle, 'flip');
  await decide(handle, 'approve', 'ben');
  await expect(handle.result()).resolves.toMatchObject({ rejoin: { outcome: 'needs-rebuild' } });
  expect(scenario.entries('note').map((body) => body.text)).toContain(
    `dallas has to be rebuilt: pgr rebuild-standby ${scenario.environment} dallas`,
  );
});

test('a flip that undid itself parks; a retry checks everything again before it goes on', async () => {
  const scenario = env.scenario().fail('flipWrites', undone());
  const handle = await start(scenario);
  await atGate(handle, 'flip');
  await decide(handle, 'approve', 'ben');
  const parked = await untilStatus(handle, 'needs-attention');
  expect(parked.failure).toMatchObject({ step: 'flip', code: 'FlipUndone', choices: ['retry', 'abort'] });
  const before = scenario.names().length;
  await command(handle, 'retry');
  await expect(handle.result()).resolves.toMatchObject({ outcome: 'flipped' });
  expect(scenario.names().slice(before, before + 2)).toEqual(['readTopology', 'planFlip']);
  expect(scenario.entries('gate-opened')).toHaveLength(1);
});

test('after a flip that undid itself another plan has to be approved again, under another code', async () => {
  const scenario = env.scenario().fail('flipWrites', undone());
  const handle = await start(scenario);
  const first = await atGate(handle, 'flip');
  await decide(handle, 'approve', 'ben');
  await untilStatus(handle, 'needs-attention');
  scenario.on('planFlip', (input) =>
    Promise.resolve(flipPlan(input, scenario.hosts, { hash: 'flip-hash-2', poolers: [] })),
  );
  await command(handle, 'retry');
  const again = await atGate(handle, 'flip');
  expect(again.plan?.hash).toBe('flip-hash-2');
  expect(again.gate?.code).not.toBe(first.gate?.code);
  expect(again.steps.find(({ id }) => id === 'flip')?.status).toBe('pending');
  const old = await decide(handle, 'approve', 'ben', { code: first.gate?.code });
  expect(old).toMatchObject({ counted: false, why: expect.stringContaining('stale code') as string });
  expect(scenario.inputsOf('flipWrites')).toHaveLength(1);
  await decide(handle, 'approve', 'ben');
  await expect(handle.result()).resolves.toMatchObject({ outcome: 'flipped', plan: { hash: 'flip-hash-2' } });
  await saveHistory(handle, 'flip-db.approved-again');
});

test('a flip that may be half done is finished by the activity itself, whatever the plan says now', async () => {
  const scenario = env.scenario().fail('flipWrites', broken());
  const handle = await start(scenario);
  await atGate(handle, 'flip');
  await decide(handle, 'approve', 'ben');
  await untilStatus(handle, 'needs-attention');
  const { environment, hosts } = scenario;
  scenario.on('readTopology', () =>
    Promise.resolve(topology(environment, hosts, { dallas: 'down', chicago: 'primary' })),
  );
  scenario.on('planFlip', () => Promise.reject(stepFailure('PreconditionFailed', 'chicago is the primary already')));
  await command(handle, 'retry');
  await expect(handle.result()).resolves.toMatchObject({ outcome: 'flipped' });
  expect(scenario.inputsOf('flipWrites')).toHaveLength(2);
});

test('failover with a host that answers: fenced by every means, no second gate, and the old node comes back', async () => {
  const scenario = deadPrimary();
  const handle = await start(scenario, { failover: true });
  const view = await atGate(handle, 'flip');
  expect(view.plan?.summary.join('\n')).toMatch(/FAILOVER.*\n.*\n.*at risk: 256 B of WAL/);
  expect(view.gate?.evidence.at(-1)).toMatchObject({ check: 'host of dallas', ok: true });
  const before = scenario.names().length;
  await decide(handle, 'approve', 'ben');
  await expect(handle.result()).resolves.toMatchObject({ outcome: 'flipped', rejoin: { outcome: 'rejoined' } });
  const after = scenario.names().slice(before);
  expect(after.slice(0, 2).sort()).toEqual(['fenceOldPrimary', 'fenceRouting']);
  expect(after.slice(2)).toEqual(['flipWrites', 'verifyWrites', 'backfillArchive', 'rejoinOldPrimary']);
  expect(scenario.inputsOf('flipWrites')).toMatchObject([
    { fenceProof: ['dallas: no postmaster', 'lb1: dallas is in maint, 0 sessions'] },
  ]);
  await saveHistory(handle, 'flip-db.failover');
});

/** Host of the old primary without a worker, for as long as a test runs. */
async function withoutOldHost<T>(work: (env: WorkflowEnv) => Promise<T>): Promise<T> {
  const own = await createWorkflowEnv();
  try {
    await own.workers.stop();
    await own.startWorkers({ orchestrator: true, standby: true });
    return await work(own);
  } finally {
    await own.stop();
  }
}

test('failover with a host that does not answer: a person states that it is off, and nothing is promoted before', async () => {
  await withoutOldHost(async (own) => {
    const scenario = own.scenario();
    const { environment, hosts } = scenario;
    scenario.on('readTopology', () =>
      Promise.resolve(topology(environment, hosts, { dallas: 'down', chicago: 'standby' })),
    );
    const handle = await own.start('flipDb', `${environment}/change`, flipInput(scenario, { failover: true }));
    const first = await atGate(handle, 'flip');
    expect(first.gate?.evidence.at(-1)?.actual).toBe(`${hosts.primary} does not answer`);
    const early = await decide(handle, 'approve', 'ben', { gate: 'fence' });
    expect(early).toMatchObject({ counted: false, why: 'early: gate fence is not open yet' });
    await decide(handle, 'approve', 'ben');
    const { gate } = await atGate(handle, 'fence');
    expect(gate?.statement).toBe(
      `dallas on host ${hosts.primary} is off: powered down or cut off from every client, and it stays so. ` +
        'If it still takes writes while chicago is primary, they are lost.',
    );
    expect(gate?.evidence[0]).toMatchObject({ check: 'dallas is off', actual: 'not proven by any means', ok: false });
    expect(gate?.evidence.map((row) => row.actual).join('\n')).toMatch(/HostUnreachable[^]*lb1: dallas is in maint/);
    expect(scenario.names()).not.toContain('flipWrites');
    const wrong = await decide(handle, 'approve', 'cleo', { code: first.gate?.code });
    expect(wrong).toMatchObject({ counted: false });
    await decide(handle, 'approve', 'cleo');
    await expect(handle.result()).resolves.toMatchObject({ outcome: 'flipped', rejoin: null });
    expect(scenario.inputsOf('flipWrites')[0]?.fenceProof.at(-1)).toMatch(
      /^stated at gate fence by cleo \(declared\): dallas on host/,
    );
    const skipped = (await viewOf(handle)).steps.filter(({ status }) => status === 'skipped').map(({ id }) => id);
    expect(skipped).toEqual(['rejoin-old-primary']);
    expect(scenario.entries('gate-opened').at(-1)?.statement).toContain('dallas on host');
    await saveHistory(handle, 'flip-db.failover-unreachable');
  });
});

test('failover: what cannot be fenced is shown at the gate, and a no at gate fence lets the old primary back', async () => {
  const scenario = deadPrimary()
    .fail('fenceOldPrimary', stepFailure('FenceFailed', 'docker stop hangs'), 9)
    .fail('fenceRouting', stepFailure('RoutingUnavailable', 'lb2 does not answer'), 9);
  const handle = await start(scenario, { failover: true });
  await atGate(handle, 'flip');
  await decide(handle, 'approve', 'ben');
  const { gate } = await atGate(handle, 'fence');
  expect(gate?.evidence.map(({ actual }) => actual)).toEqual([
    'not proven by any means',
    `host ${scenario.hosts.primary}: FenceFailed: docker stop hangs`,
    'routing: RoutingUnavailable: lb2 does not answer',
  ]);
  const before = scenario.names().length;
  await decide(handle, 'reject', 'cleo');
  await expect(failureOf(handle)).resolves.toMatchObject({
    type: 'RunAborted',
    message: 'aborted by gate fence: it was rejected',
  });
  expect(scenario.names().slice(before)).toEqual(['readTopology', 'releaseOldPrimary', 'releaseRouting']);
  expect(scenario.names()).not.toContain('flipWrites');
  await saveHistory(handle, 'flip-db.fence-rejected');
});

test.each<['standby' | 'primary', ActivityName[]]>([
  ['standby', ['readTopology', 'releaseOldPrimary', 'releaseRouting', 'readTopology']],
  ['primary', ['readTopology', 'readTopology']],
])('failover: an abort in the flip while the candidate is %s never makes two primaries', async (role, undo) => {
  const scenario = deadPrimary().fail('flipWrites', broken());
  const { environment, hosts } = scenario;
  const handle = await start(scenario, { failover: true });
  await atGate(handle, 'flip');
  await decide(handle, 'approve', 'ben');
  await untilStatus(handle, 'needs-attention');
  scenario.on('readTopology', () => Promise.resolve(topology(environment, hosts, { dallas: 'down', chicago: role })));
  const before = scenario.names().length;
  await command(handle, 'abort', { by: 'ana', reason: 'stop' });
  await failureOf(handle);
  expect(scenario.names().slice(before)).toEqual(undo);
  expect(scenario.entries('undo-done')).toMatchObject([{ step: 'release-old-primary' }]);
});

test('failover: an undo that cannot know whether the candidate was promoted parks', async () => {
  const scenario = deadPrimary().fail('flipWrites', broken());
  const { environment, hosts } = scenario;
  const handle = await start(scenario, { failover: true });
  await atGate(handle, 'flip');
  await decide(handle, 'approve', 'ben');
  await untilStatus(handle, 'needs-attention');
  scenario.on('readTopology', () =>
    Promise.resolve(topology(environment, hosts, { dallas: 'down', chicago: 'unknown' })),
  );
  await command(handle, 'abort', { by: 'ana', reason: 'stop' });
  const parked = await until(handle, ({ failure }) => failure?.step === 'release-old-primary');
  expect(parked.failure).toMatchObject({ code: 'PreconditionFailed', choices: ['retry', 'skip'] });
  expect(scenario.names()).not.toContain('releaseRouting');
  await command(handle, 'skip', { by: 'ana', reason: 'looked at it' });
  await failureOf(handle);
});

test('failover: after the flip an abort does not let the old primary back', async () => {
  const scenario = deadPrimary().fail('verifyWrites', broken());
  const handle = await start(scenario, { failover: true });
  await atGate(handle, 'flip');
  await decide(handle, 'approve', 'ben');
  await until(handle, ({ failure }) => failure?.step === 'verify-writes');
  await command(handle, 'abort', { by: 'ana', reason: 'stop' });
  await failureOf(handle);
  expect(scenario.names()).not.toContain('releaseRouting');
});
