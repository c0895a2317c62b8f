/**
 * Scenario: people are told of runs while everything, nothing, or only some of it works.
 * Verified: 1 which notices a run gives, in which order; 2 no channel holds up a run or another channel, whatever it does; 3 a worker that dies
 * between sending and saying so makes no second message where the service can tell, and one more at most where it cannot; 4 reminders while
 * production is down.
 */
import type { WorkflowHandle } from '@temporalio/client';

import { stepFailure } from '../../activities/lib/failure.js';
import { createChannels } from '../../activities/notify/create-channels.js';
import { createSendNotice } from '../../activities/notify/send-notice.js';
import { channelSchema } from '../../config/notify.js';
import type {
  NoticeEvent,
  NotifyTestResult,
  SendNoticeInput,
  SendNoticeResult,
} from '../../shared/contracts/notices.js';
import type { CheckRunResult } from '../../shared/contracts/runs.js';
import { noticesIdFor } from '../../shared/ids.js';
import { startService, startSlack } from '../support/notice-services.js';
import { topology } from '../support/flip-fixtures.js';
import type { Scenario } from '../support/stub-activities.js';
import {
  command,
  createWorkflowEnv,
  decide,
  eventually,
  pitrInput,
  saveHistory,
  until,
  untilStatus,
  viewOf,
  type WorkflowEnv,
} from '../support/workflow-env.js';

jest.setTimeout(150_000);

let env: WorkflowEnv;
beforeAll(async () => {
  env = await createWorkflowEnv();
});
afterAll(async () => {
  await env.stop();
});

const startPitr = ({ environment }: Scenario, own: WorkflowEnv = env, more = {}): Promise<WorkflowHandle> =>
  own.start('pitr', `${environment}/pitr/1`, pitrInput(environment, more));
const changeOf = ({ environment }: Scenario, own: WorkflowEnv = env): WorkflowHandle =>
  own.env.client.workflow.getHandle(`${environment}/change`);
/** Of one channel and one run. */
const heard = (scenario: Scenario, run: string, channel = 'log'): NoticeEvent[] =>
  scenario.sent.filter((one) => one.channel === channel && one.subject.run === run).map(({ notice }) => notice.event);

/** The workflow that tells people of a run. */
async function teller(handle: WorkflowHandle): Promise<WorkflowHandle> {
  const { run, runId } = await viewOf(handle);
  return env.env.client.workflow.getHandle(noticesIdFor(run, runId));
}

async function told(handle: WorkflowHandle): Promise<void> {
  await (await teller(handle)).result();
}

test('a recovery that is promoted: people hear of each turn of both runs, once and in order', async () => {
  const scenario = env.scenario();
  const handle = await startPitr(scenario);
  await untilStatus(handle, 'waiting-approval');
  await decide(handle, 'approve', 'ben');
  await handle.result();
  await Promise.all([told(handle), told(changeOf(scenario))]);
  expect(heard(scenario, handle.workflowId)).toEqual(['run-started', 'gate-opened', 'gate-closed', 'ended']);
  expect(heard(scenario, `${scenario.environment}/change`)).toEqual([
    'run-started',
    'production-down',
    'service-restored',
    'ended',
  ]);
  const ordinals = scenario.sent
    .filter(({ subject }) => subject.run === handle.workflowId)
    .map(({ notice }) => notice.ordinal);
  expect(ordinals).toEqual([1, 2, 3, 4]);
  const gate = scenario.notices.find(({ event }) => event === 'gate-opened');
  expect(gate).toMatchObject({ gate: 'promote', plan: { target: { kind: 'time' } }, evidence: { good: 2, total: 2 } });
  const ended = scenario.sent.find(
    ({ subject, notice }) => subject.run.endsWith('/change') && notice.event === 'ended',
  );
  expect(ended?.notice).toMatchObject({
    status: 'completed',
    isDown: false,
    measured: { rtoSeconds: expect.any(Number) as number, rpoSeconds: expect.any(Number) as number },
  });
  await saveHistory(handle, 'pitr.told');
  await saveHistory(changeOf(scenario), 'promote.told');
  await saveHistory(await teller(handle), 'tell-people.told');
});

test('a plan that is only shown tells nobody', async () => {
  const scenario = env.scenario();
  const handle = await startPitr(scenario, env, { planOnly: true });
  await handle.result();
  expect(scenario.sent).toEqual([]);
  await expect((await teller(handle)).describe()).rejects.toThrow(/not found/i);
});

test('an abort that put everything back says so, and that production is up', async () => {
  const scenario = env.scenario();
  scenario.fail('endRecovery', stepFailure('CommandFailed', 'Key (email)=(joe@example.com) already exists'), 99);
  const handle = await startPitr(scenario);
  await untilStatus(handle, 'waiting-approval');
  await decide(handle, 'approve', 'ben');
  const change = changeOf(scenario);
  await untilStatus(change, 'needs-attention');
  await command(change, 'abort');
  await handle.result().catch(() => undefined);
  await Promise.all([told(handle), told(change)]);
  expect(heard(scenario, change.workflowId)).toEqual([
    'run-started',
    'production-down',
    'needs-attention',
    'attention-over',
    'service-restored',
    'ended',
  ]);
  expect(scenario.notices.find(({ event }) => event === 'service-restored')).toMatchObject({ how: 'put-back' });
  // The message of a failure may quote a row.
  expect(JSON.stringify(scenario.sent)).not.toContain('joe@example.com');
});

describe('a flip', () => {
  const flip = ({ environment }: Scenario, failover: boolean): Promise<WorkflowHandle> => {
    const request = { environment, requestedBy: 'ana', reason: 'kernel update', requestedAt: new Date().toISOString() };
    return env.start('flipDb', `${environment}/change`, { ...request, to: null, failover, mode: 'stop' });
  };

  test('planned: nobody is called down for a moment without writes; where they go and for how long is said at once', async () => {
    const scenario = env.scenario();
    const handle = await flip(scenario, false);
    await untilStatus(handle, 'waiting-approval');
    await decide(handle, 'approve', 'ben');
    await handle.result();
    await told(handle);
    const events = ['run-started', 'gate-opened', 'gate-closed', 'service-restored', 'ended'];
    expect(heard(scenario, handle.workflowId)).toEqual(events);
    const restored = scenario.notices.find(({ event }) => event === 'service-restored');
    expect(restored).toMatchObject({ how: 'moved', writeOutageMs: 120, node: 'chicago' });
  });

  test('failover: production is down from the moment that is asked for it; an abort does not bring it back', async () => {
    const scenario = env.scenario();
    const { environment, hosts } = scenario;
    scenario.on('readTopology', () =>
      Promise.resolve(topology(environment, hosts, { dallas: 'down', chicago: 'standby' })),
    );
    const handle = await flip(scenario, true);
    await untilStatus(handle, 'waiting-approval');
    await command(handle, 'abort');
    await handle.result().catch(() => undefined);
    await told(handle);
    expect(heard(scenario, handle.workflowId)).toEqual(['run-started', 'production-down', 'gate-opened', 'ended']);
    expect(scenario.notices.at(-1)).toMatchObject({ status: 'aborted', isDown: true });
    const again = await flip(scenario, true);
    await untilStatus(again, 'waiting-approval');
    await decide(again, 'approve', 'ben');
    await again.result();
    await told(again);
    expect(scenario.notices.at(-2)).toMatchObject({ event: 'service-restored', how: 'moved', node: 'chicago' });
    expect(scenario.notices.at(-1)).toMatchObject({ event: 'ended', isDown: false });
    await saveHistory(again, 'flip-db.told');
  });
});

test('channels that hang, fail or refuse hold up neither the run nor each other', async () => {
  const scenario = env.scenario();
  scenario.on('listChannels', () => Promise.resolve({ channels: ['hangs', 'throws', 'refuses', 'works'] }));
  let release = (): void => undefined;
  const hang = new Promise<SendNoticeResult>((resolve) => {
    release = () => {
      resolve({ outcome: 'sent', memory: {} });
    };
  });
  scenario.on('sendNotice', (input, usual) => {
    if (input.channel === 'hangs') return hang;
    if (input.channel === 'throws') return Promise.reject(new Error('a bug'));
    if (input.channel === 'refuses')
      return Promise.resolve({ outcome: 'refused', why: 'http status 404 (no_service)' });
    return usual();
  });
  try {
    const handle = await startPitr(scenario);
    await untilStatus(handle, 'waiting-approval');
    await decide(handle, 'approve', 'ben');
    await expect(handle.result()).resolves.toMatchObject({ outcome: 'promoted' });
    await eventually(() => heard(scenario, handle.workflowId, 'works').length === 4, 'the channel that works has all');
  } finally {
    // The worker of this test has to be able to stop, also when it fails.
    release();
  }
});

test('listing the channels fails for good: the run does not notice', async () => {
  const scenario = env.scenario();
  scenario.fail('listChannels', new Error('a bug'), 9_999);
  const handle = await startPitr(scenario, env, { promote: false });
  await expect(handle.result()).resolves.toMatchObject({ outcome: 'kept' });
});

test('what a channel knows of the run comes back with the next notice; what is later is sent again after a while', async () => {
  const scenario = env.scenario();
  const tries: SendNoticeInput[] = [];
  scenario.on('sendNotice', (input) => {
    if (!input.subject.run.includes('/pitr/')) return Promise.resolve({ outcome: 'sent', memory: {} });
    tries.push(input);
    if (tries.length === 1) return Promise.resolve({ outcome: 'later', why: 'http status 429', afterSeconds: 1 });
    if (tries.length === 2) return Promise.resolve({ outcome: 'unsure', why: 'no answer in time' });
    return Promise.resolve({ outcome: 'sent', memory: { threadTs: '17.1' } });
  });
  const handle = await startPitr(scenario, env, { promote: false });
  await handle.result();
  await told(handle);
  expect(tries.map(({ notice, memory, unsure }) => [notice.event, memory, unsure])).toEqual([
    ['run-started', {}, 0],
    ['run-started', {}, 0],
    ['run-started', {}, 1],
    ['ended', { threadTs: '17.1' }, 0],
  ]);
});

describe('a test message', () => {
  const ask = (scenario: Scenario, channel: string | null): Promise<WorkflowHandle> => {
    const { environment } = scenario;
    return env.start('notifyTest', `${environment}/notifyTest/1`, { environment, channel, requestedBy: 'ana' });
  };

  test('goes through every channel once, whatever the others do', async () => {
    const scenario = env.scenario();
    const tried: SendNoticeInput[] = [];
    scenario.on('listChannels', () => Promise.resolve({ channels: ['works', 'refuses', 'later', 'throws', 'unsure'] }));
    scenario.on('sendNotice', (input, usual) => {
      tried.push(input);
      if (input.channel === 'refuses') return Promise.resolve({ outcome: 'refused', why: 'http status 404' });
      if (input.channel === 'later') {
        return Promise.resolve({ outcome: 'later', why: 'http status 429', afterSeconds: 42 });
      }
      if (input.channel === 'unsure') return Promise.resolve({ outcome: 'unsure', why: 'no answer in time' });
      return input.channel === 'throws' ? Promise.reject(new Error('a bug')) : usual();
    });
    const result = (await (await ask(scenario, null)).result()) as NotifyTestResult;
    expect(result.channels).toEqual([
      { channel: 'works', outcome: 'delivered', why: null },
      { channel: 'refuses', outcome: 'failed', why: 'http status 404' },
      { channel: 'later', outcome: 'failed', why: 'http status 429' },
      { channel: 'throws', outcome: 'failed', why: expect.stringContaining('it may have arrived') as string },
      { channel: 'unsure', outcome: 'failed', why: 'no answer in time; it may have arrived' },
    ]);
    expect(tried.map(({ channel }) => channel).sort()).toEqual(['later', 'refuses', 'throws', 'unsure', 'works']);
    expect(scenario.notices).toMatchObject([{ event: 'test' }]);
  });

  test('goes through the one channel that was named, and one that is not there is NotFound', async () => {
    const scenario = env.scenario();
    scenario.on('listChannels', () => Promise.resolve({ channels: ['log', 'ops'] }));
    const result = (await (await ask(scenario, 'ops')).result()) as NotifyTestResult;
    expect(result.channels.map(({ channel }) => channel)).toEqual(['ops']);
    const nobody = await ask(scenario, 'opps');
    await expect(nobody.result()).rejects.toMatchObject({
      cause: { type: 'NotFound', message: expect.stringContaining('no channel opps hears of') as string },
    });
    expect(scenario.sent).toHaveLength(1);
  });
});

test('the doctor says of every channel whether its secrets can be had', async () => {
  const scenario = env.scenario();
  const row = { check: 'channel ops (slack)', expected: 'its secrets can be read', actual: 'no', ok: false };
  scenario.on('checkChannels', () => Promise.resolve({ checks: [row] }));
  const { environment } = scenario;
  const handle = await env.start('check', `${environment}/check/1`, { environment });
  const { checks } = (await handle.result()) as CheckRunResult;
  expect(checks.at(-1)).toEqual(row);
  expect(checks.length).toBeGreaterThan(1);
  expect(scenario.sent).toEqual([]);
});

describe('a worker that dies between sending and saying so', () => {
  /** The real activity; its answer to the first notice is lost with the worker, which Temporal notices by the time limit. */
  function losing(scenario: Scenario, config: object, secret = 'TOKEN'): void {
    const deps = {
      config: { notify: [channelSchema.parse({ name: 'ops', ...config })], temporal: {} } as never,
      resolveSecret: () => Promise.resolve(secret),
      log: { info: () => undefined, warn: () => undefined },
    };
    const send = createSendNotice(deps, createChannels(deps));
    let isLost = false;
    scenario.on('listChannels', () => Promise.resolve({ channels: ['ops'] }));
    scenario.on('sendNotice', async (input) => {
      const result = await send(input);
      if (isLost) return result;
      isLost = true;
      // The worker of this test has to be able to stop in the end.
      return new Promise((resolve) => {
        lost.push(() => {
          resolve(result);
        });
      });
    });
  }
  const lost: (() => void)[] = [];
  afterEach(() => {
    for (const answer of lost.splice(0)) answer();
  });

  test('slack with a bot: one thread, one message each', async () => {
    const slack = await startSlack({ token: 'TOKEN' });
    try {
      const scenario = env.scenario();
      losing(scenario, { kind: 'slack', token: 'env:TOKEN', channel: 'C012345', api: slack.url });
      const handle = await startPitr(scenario, env, { promote: false });
      await handle.result();
      await told(handle);
      expect(slack.messages.map(({ metadata }) => metadata?.event_payload.key.split('/').slice(-2))).toEqual([
        ['run-started', '1'],
        ['ended', '2'],
      ]);
      expect(slack.messages.map(({ thread_ts: thread }) => thread)).toEqual([undefined, slack.messages[0]?.ts]);
    } finally {
      await slack.stop();
    }
  });

  test('a slack webhook: one more at most, and it says that it may be', async () => {
    const hook = await startService(() => ({ status: 200, body: 'ok' }));
    try {
      const scenario = env.scenario();
      losing(scenario, { kind: 'slack', webhook: 'env:HOOK' }, hook.url);
      const handle = await startPitr(scenario, env, { promote: false });
      await handle.result();
      await told(handle);
      const texts = hook.requests.map(({ body }) => body);
      expect(texts.map((text) => /pitr of \S+ (\w+)/.exec(text)?.[1])).toEqual(['started', 'started', 'completed']);
      expect(texts.map((text) => text.includes('may have been sent before'))).toEqual([false, true, false]);
    } finally {
      await hook.stop();
    }
  });
});

describe('while time passes', () => {
  let own: WorkflowEnv;
  beforeEach(async () => {
    own = await createWorkflowEnv('time-skipping');
  });
  afterEach(async () => {
    await own.stop();
  });

  test('production is down: people hear so every 15 minutes, with the step, until writes work again', async () => {
    const scenario = own.scenario();
    scenario.fail('startNode', stepFailure('CommandFailed', 'it broke'), 99);
    const handle = await startPitr(scenario, own);
    await untilStatus(handle, 'waiting-approval');
    await decide(handle, 'approve', 'ben');
    const change = changeOf(scenario, own);
    await until(change, ({ failure }) => failure?.step === 'start-primary');
    await own.env.sleep('50 minutes');
    const still = () => scenario.notices.filter((one) => one.event === 'still-down');
    await eventually(() => still().length >= 3, 'people hear three times that it is down');
    expect(still()[0]).toMatchObject({
      step: 'start-primary',
      position: expect.stringMatching(/^\d+ of \d+$/) as string,
    });
    // Real seconds of a busy machine come on top.
    for (const [index, { seconds }] of still().entries()) {
      expect(seconds).toBeGreaterThanOrEqual((index + 1) * 900 - 1);
      expect(seconds).toBeLessThan((index + 1) * 900 + 300);
    }
    scenario.on('startNode', (_input, usual) => usual());
    await command(change, 'retry');
    await untilStatus(change, 'completed');
    await eventually(() => heard(scenario, change.workflowId).includes('ended'), 'the end is told');
    expect(heard(scenario, change.workflowId).filter((event) => event === 'still-down')).toHaveLength(3);
  });

  test('a service that is down for 20 minutes: the news arrive afterwards, the reminders of that time do not', async () => {
    const scenario = own.scenario({ remindEverySeconds: 300 });
    let isDown = true;
    const arrived: string[] = [];
    scenario.on('sendNotice', ({ notice }) => {
      if (isDown) return Promise.resolve({ outcome: 'later', why: 'ECONNREFUSED', afterSeconds: null });
      arrived.push(notice.event);
      return Promise.resolve({ outcome: 'sent', memory: {} });
    });
    const handle = await startPitr(scenario, own);
    await untilStatus(handle, 'waiting-approval');
    await own.env.sleep('21 minutes');
    isDown = false;
    // The longest pause between two attempts is 5 minutes.
    await own.env.sleep('10 minutes');
    await eventually(() => arrived.length >= 3, 'the news arrive');
    expect(arrived.slice(0, 3)).toEqual(['run-started', 'gate-opened', 'gate-reminder']);
    // One for the four of the time before, and those of the ten minutes since.
    expect(arrived.filter((event) => event === 'gate-reminder').length).toBeLessThan(4);
  });
});
