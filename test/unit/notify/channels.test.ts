/**
 * Scenario: services that are told something, as stand-ins with their recorded traps.
 * Verified: 1 what each is sent; 2 what is certain and what is not after every way to fail; 3 what a repeat makes of it.
 */
import { createHmac } from 'node:crypto';

import { parseConfig } from '../../../config/load.js';
import { channelSchema, type ChannelConfig } from '../../../config/notify.js';
import type { Channel, Message } from '../../../activities/notify/channel.js';
import { createChannels } from '../../../activities/notify/create-channels.js';
import { callService, retryAfter } from '../../../activities/notify/http.js';
import { createSendNotice } from '../../../activities/notify/send-notice.js';
import type { NoticeFacts } from '../../../shared/contracts/notices.js';
import { stepFailure } from '../../../activities/lib/failure.js';
import { ATTENTION, GATE, messageOf, notice, SUBJECT } from '../../support/notices.js';
import {
  startPagerDuty,
  startService,
  startSlack,
  startStatuspage,
  type NoticeService,
} from '../../support/notice-services.js';

const SECRET = 'xoxb-very-secret-token-0001';
const quiet = { info: () => undefined, warn: () => undefined };
const resolveSecret = (reference: string): Promise<string> =>
  Promise.resolve(reference === 'env:URL' ? hookUrl : SECRET);
let hookUrl = '';
const running: { stop(): Promise<void> }[] = [];

afterEach(async () => {
  await Promise.all(running.splice(0).map((service) => service.stop()));
});

async function use<T extends NoticeService>(service: Promise<T>): Promise<T> {
  const started = await service;
  running.push(started);
  hookUrl = `${started.url}/hook`;
  return started;
}

function deps(...channels: object[]) {
  const notify = channels.map((channel) => channelSchema.parse(channel));
  return { config: { notify, temporal: {} } as never, resolveSecret, log: quiet };
}

function channel(config: object): Channel {
  const made = createChannels(deps({ name: 'one', ...config })).get('one');
  if (made === null) throw new Error('no channel');
  return made;
}

const RESTORED: NoticeFacts = { event: 'service-restored', how: 'recovered', writeOutageMs: 61_000, node: 'dallas' };
const DOWN: NoticeFacts = { event: 'production-down', why: 'its data are replaced' };
const ENDED: Extract<NoticeFacts, { event: 'ended' }> = {
  event: 'ended',
  status: 'completed',
  seconds: 300,
  measured: {},
  failure: null,
  isDown: false,
};

describe('every service', () => {
  const kinds = (url: string): [string, object][] => [
    ['slack by webhook', { kind: 'slack', webhook: 'env:URL' }],
    ['slack by bot', { kind: 'slack', token: 'env:TOKEN', channel: 'C012345', api: url }],
    ['pagerduty', { kind: 'pagerduty', routingKey: 'env:TOKEN', api: url }],
    ['statuspage', { kind: 'statuspage', page: 'p1', key: 'env:TOKEN', service: 'The shop', api: url }],
    ['ntfy', { kind: 'ntfy', topic: 'ops', token: 'env:TOKEN', api: url }],
    ['webhook', { kind: 'webhook', url: 'env:URL', secret: 'env:TOKEN' }],
  ];
  const all = kinds('http://127.0.0.1:9').map(([title], index): [string, number] => [title, index]);
  const at = (service: NoticeService, index: number): Channel => channel(kinds(service.url)[index]![1]);

  test.each(all)('%s: 429 with Retry-After is later, after what it asks for', async (_title, index) => {
    const service = await use(
      startService(() => ({ status: 429, headers: { 'retry-after': '42' }, body: 'rate_limited' })),
    );
    await expect(at(service, index).send(messageOf(DOWN))).resolves.toMatchObject({
      outcome: 'later',
      afterSeconds: 42,
    });
    expect(service.requests).toHaveLength(1);
  });
  test.each(all)('%s: a server error is later', async (_title, index) => {
    const service = await use(startService(() => ({ status: 500, body: 'rollup_error' })));
    await expect(at(service, index).send(messageOf(DOWN))).resolves.toMatchObject({ outcome: 'later' });
  });
  test.each(all)('%s: a refused credential is refused, and the secret is in no answer', async (_title, index) => {
    const service = await use(
      startService(() => ({ status: 403, body: { message: `bad ${SECRET}`, errors: [SECRET] } })),
    );
    const delivery = await at(service, index).send(messageOf(DOWN));
    expect(delivery).toMatchObject({ outcome: 'refused' });
    expect(JSON.stringify(delivery)).not.toContain(SECRET);
  });
  test.each(all)('%s: nobody listens: certainly not sent', async (_title, index) => {
    const service = await startService(() => ({ status: 200 }));
    hookUrl = `${service.url}/hook`;
    await service.stop();
    const delivery = await at(service, index).send(messageOf(DOWN));
    expect(delivery).toMatchObject({ outcome: 'later', why: 'the service cannot be reached (ECONNREFUSED)' });
  });
  test.each(all)('%s: a connection that is cut leaves nothing certain', async (title, index) => {
    const service = await use(startService(() => ({ status: 200 })));
    service.fail({ fault: 'broken' });
    const delivery = await at(service, index).send(messageOf(DOWN));
    // The status page only looked for its incident: nothing was changed.
    expect(delivery).toMatchObject({ outcome: title === 'statuspage' ? 'later' : 'unsure' });
  });
  test.each(all)('%s: no redirect is followed: it would take the secret elsewhere', async (_title, index) => {
    const other = await use(startService(() => ({ status: 200, body: 'ok' })));
    const service = await use(startService(() => ({ status: 307, headers: { location: `${other.url}/` } })));
    await expect(at(service, index).send(messageOf(DOWN))).resolves.toMatchObject({ outcome: 'refused' });
    expect(other.requests).toEqual([]);
  });
});

describe('slack by webhook', () => {
  const hook = (): Channel => channel({ kind: 'slack', webhook: 'env:URL' });
  test('sends text and blocks; what people typed cannot become a mention or a link', async () => {
    const service = await use(startService(() => ({ status: 200, body: 'ok' })));
    const message = messageOf({ event: 'production-down', why: '<!channel> & <https://evil.example|click>' });
    await expect(hook().send(message)).resolves.toEqual({ outcome: 'sent', memory: {} });
    const [request] = service.requests;
    expect(request).toMatchObject({ method: 'POST', path: '/hook' });
    expect((request!.json as { text: string }).text).toBe(':rotating_light: production is down: nobody can write');
    expect(request!.body).toContain('&lt;!channel&gt; &amp; &lt;https://evil.example|click&gt;');
    expect(request!.body).not.toContain('<!channel>');
  });
  test.each([
    [400, 'invalid_payload'],
    [403, 'action_prohibited'],
    [404, 'no_service'],
    [410, 'channel_is_archived'],
  ])('%i %s is refused, in the words of slack', async (status, body) => {
    await use(startService(() => ({ status, body })));
    const delivery = await hook().send(messageOf(DOWN));
    expect(delivery).toEqual({ outcome: 'refused', why: `http status ${String(status)} (${body})` });
  });
  test('a 200 that does not say ok is not taken for sent', async () => {
    await use(startService(() => ({ status: 200, body: '<html>sign in</html>' })));
    await expect(hook().send(messageOf(DOWN))).resolves.toMatchObject({ outcome: 'refused' });
  });
  test('a secret that is no url is refused without showing it', async () => {
    hookUrl = 'not a url at all';
    const delivery = await hook().send(messageOf(DOWN));
    expect(delivery).toMatchObject({ outcome: 'refused' });
    expect(JSON.stringify(delivery)).not.toContain(hookUrl);
  });
});

describe('slack by bot', () => {
  const slack = async (canRead = true) => {
    const service = await use(startSlack({ token: SECRET, canRead }));
    return { service, bot: channel({ kind: 'slack', token: 'env:TOKEN', channel: 'C012345', api: service.url }) };
  };
  const send = async (bot: Channel, message: Message): Promise<Record<string, string>> => {
    const delivery = await bot.send(message);
    if (delivery.outcome !== 'sent') throw new Error(JSON.stringify(delivery));
    return delivery.memory;
  };

  test('one thread a run: what follows hangs on the first message, news shows in the channel too', async () => {
    const { service, bot } = await slack();
    const memory = await send(bot, messageOf({ event: 'run-started' }));
    await send(bot, messageOf(GATE, { memory }));
    await send(bot, messageOf({ event: 'gate-closed', gate: 'promote', outcome: 'approved', by: ['ben'] }, { memory }));
    const [first, gate, closed] = service.messages;
    expect(first?.thread_ts).toBeUndefined();
    expect(gate).toMatchObject({ thread_ts: first?.ts, reply_broadcast: true });
    expect(closed).toMatchObject({ thread_ts: first?.ts, reply_broadcast: false });
  });
  test('a first message whose answer was lost is found again: no second thread', async () => {
    const { service, bot } = await slack();
    service.fail({ fault: 'broken', afterwards: true });
    await expect(bot.send(messageOf({ event: 'run-started' }))).resolves.toMatchObject({ outcome: 'unsure' });
    const memory = await send(bot, messageOf({ event: 'run-started' }, { unsure: 1 }));
    expect(service.messages).toHaveLength(1);
    expect(memory).toEqual({ threadTs: service.messages[0]?.ts });
  });
  test('a reply whose answer was lost is found in the thread; one that never arrived is sent', async () => {
    const { service, bot } = await slack();
    const memory = await send(bot, messageOf({ event: 'run-started' }));
    service.fail({ fault: 'broken', afterwards: true });
    await bot.send(messageOf(GATE, { memory }));
    await send(bot, messageOf(GATE, { memory, unsure: 1 }));
    expect(service.messages).toHaveLength(2);
    service.fail({ fault: 'broken' });
    await bot.send(messageOf(ATTENTION, { memory }));
    await send(bot, messageOf(ATTENTION, { memory, unsure: 1 }));
    expect(service.messages).toHaveLength(3);
  });
  test('a bot that may not read repeats once and then no more', async () => {
    const { service, bot } = await slack(false);
    await send(bot, messageOf(GATE, { unsure: 1 }));
    expect(service.messages).toHaveLength(1);
    expect(JSON.stringify(service.messages[0])).toContain('may have been sent before');
    await expect(bot.send(messageOf(GATE, { unsure: 2 }))).resolves.toMatchObject({
      outcome: 'refused',
      why: expect.stringContaining('missing_scope') as string,
    });
    expect(service.messages).toHaveLength(1);
  });
  test('a thread that was deleted: the notice goes to the channel, and a new thread begins', async () => {
    const { service, bot } = await slack();
    const memory = await send(bot, messageOf(GATE, { memory: { threadTs: '1600000000.000001' } }));
    expect(memory).toEqual({ threadTs: service.messages[0]?.ts });
  });
  test.each([
    ['channel_not_found', 'refused'],
    ['invalid_auth', 'refused'],
    ['internal_error', 'later'],
    ['ratelimited', 'later'],
  ])('200 with ok:false and %s is %s', async (error, outcome) => {
    const { service, bot } = await slack();
    service.fail({ fault: { status: 200, body: { ok: false, error } } });
    await expect(bot.send(messageOf(DOWN))).resolves.toMatchObject({ outcome, why: `slack says ${error}` });
  });
});

describe('pagerduty', () => {
  const pager = async () => {
    const service = await use(startPagerDuty(SECRET));
    return { service, pager: channel({ kind: 'pagerduty', routingKey: 'env:TOKEN', api: service.url }) };
  };
  const RUN_KEY = `pgr/${SUBJECT.run}/${SUBJECT.runId}`;

  test('one incident a run, whatever is repeated; it is over when the run goes on or ends well', async () => {
    const { service, pager: one } = await pager();
    for (const unsure of [0, 1, 2]) await one.send(messageOf(ATTENTION, { unsure }));
    expect([...service.incidents]).toEqual([[RUN_KEY, 'triggered']]);
    expect(service.requests[0]?.json).toMatchObject({ payload: { severity: 'critical', source: 'production' } });
    await one.send(messageOf({ event: 'attention-over', step: 'swap-in', choice: 'retry' }));
    expect(service.incidents.get(RUN_KEY)).toBe('resolved');
    await one.send(messageOf(DOWN));
    await one.send(messageOf(ENDED));
    expect(service.incidents.get(RUN_KEY)).toBe('resolved');
  });
  test('a run that ended badly goes on paging', async () => {
    const { service, pager: one } = await pager();
    await one.send(messageOf({ ...ENDED, status: 'failed' }));
    expect(service.incidents.get(RUN_KEY)).toBe('triggered');
  });
  test('an alarm is an incident of its own, over when it is cleared', async () => {
    const { service, pager: one } = await pager();
    await one.send(messageOf({ event: 'alarm-raised', alarm: 'base-age', summary: 'no base', severity: 'critical' }));
    expect([...service.incidents]).toEqual([['pgr/production/alarm/base-age', 'triggered']]);
    await one.send(messageOf({ event: 'alarm-cleared', alarm: 'base-age', summary: 'a base', seconds: 60 }));
    expect([...service.incidents]).toEqual([['pgr/production/alarm/base-age', 'resolved']]);
  });
  test('an event that it calls invalid is not sent again; the key that it quotes is not shown', async () => {
    const service = await use(startPagerDuty('another key'));
    const one = channel({ kind: 'pagerduty', routingKey: 'env:TOKEN', api: service.url });
    const delivery = await one.send(messageOf(ATTENTION));
    expect(delivery).toEqual({ outcome: 'refused', why: 'http status 400 (invalid event)' });
  });
});

describe('statuspage', () => {
  const page = async () => {
    const service = await use(startStatuspage());
    const config = { kind: 'statuspage', page: 'p1', key: 'env:TOKEN', service: 'The shop', components: ['c1'] };
    return { service, page: channel({ ...config, api: service.url }) };
  };

  test('an incident from the start of the outage to its end', async () => {
    const { service, page: one } = await page();
    const down = await one.send(messageOf(DOWN));
    expect(down).toEqual({ outcome: 'sent', memory: { incident: 'inc1' } });
    expect(service.incidents[0]).toMatchObject({ status: 'identified', components: { c1: 'major_outage' } });
    expect(service.requests.every(({ headers }) => headers['authorization'] === `OAuth ${SECRET}`)).toBe(true);
    await one.send(messageOf(RESTORED, { memory: { incident: 'inc1' } }));
    expect(service.incidents).toHaveLength(1);
    expect(service.incidents[0]).toMatchObject({ status: 'resolved', components: { c1: 'operational' } });
  });
  test('an incident that was made and whose answer was lost is found by its run: no second one', async () => {
    const { service, page: one } = await page();
    service.fail({ fault: { status: 200, body: [] } }, { fault: 'broken', afterwards: true });
    await expect(one.send(messageOf(DOWN))).resolves.toMatchObject({ outcome: 'unsure' });
    expect(service.incidents).toHaveLength(1);
    await expect(one.send(messageOf(DOWN, { unsure: 1 }))).resolves.toEqual({
      outcome: 'sent',
      memory: { incident: 'inc1' },
    });
    expect(service.incidents).toHaveLength(1);
    expect(service.incidents[0]?.incident_updates).toHaveLength(1);
  });
  test('an update whose answer was lost is not made twice', async () => {
    const { service, page: one } = await page();
    await one.send(messageOf(DOWN));
    service.fail({ fault: { status: 200, body: service.incidents.slice() } }, { fault: 'broken', afterwards: true });
    await expect(one.send(messageOf(RESTORED))).resolves.toMatchObject({ outcome: 'unsure' });
    await expect(one.send(messageOf(RESTORED, { unsure: 1 }))).resolves.toMatchObject({ outcome: 'sent' });
    expect(service.incidents[0]?.incident_updates).toHaveLength(2);
  });
  test('the end of an outage that the page never heard of makes no incident', async () => {
    const { service, page: one } = await page();
    await expect(one.send(messageOf(RESTORED))).resolves.toMatchObject({ outcome: 'sent' });
    expect(service.incidents).toEqual([]);
  });
});

test('ntfy: title, text, priority and the link; nothing after 4 kB', async () => {
  const service = await use(startService(() => ({ status: 200, body: { id: 'x' } })));
  const one = channel({ kind: 'ntfy', topic: 'ops', token: 'env:TOKEN', api: service.url });
  await one.send(messageOf(ATTENTION));
  expect(service.requests[0]).toMatchObject({
    path: '/',
    headers: { authorization: `Bearer ${SECRET}` },
    json: { topic: 'ops', priority: 5, title: messageOf(ATTENTION).text.title },
  });
  const long = messageOf(ATTENTION);
  await one.send({ ...long, text: { ...long.text, lines: ['ü'.repeat(5_000)] } });
  expect(Buffer.byteLength((service.requests[1]!.json as { message: string }).message)).toBeLessThan(4_096);
});

test('webhook: signed over time and body, with the same key on every attempt', async () => {
  const service = await use(startService(() => ({ status: 204 })));
  const one = channel({ kind: 'webhook', url: 'env:URL', secret: 'env:TOKEN' });
  await one.send(messageOf(GATE));
  await one.send(messageOf(GATE, { unsure: 1 }));
  const [first, second] = service.requests;
  const [, t = '', signature = ''] = /^t=(\d+),v1=([0-9a-f]{64})$/.exec(first!.headers['x-signature'] ?? '') ?? [];
  expect(Math.abs(Number(t) - Date.now() / 1000)).toBeLessThan(60);
  expect(signature).toBe(createHmac('sha256', SECRET).update(`${t}.${first!.body}`).digest('hex'));
  expect(first!.headers['idempotency-key']).toBe(`${SUBJECT.run}/${SUBJECT.runId}/gate-opened/1`);
  expect(second!.headers['idempotency-key']).toBe(first!.headers['idempotency-key']);
  expect(first!.json).toMatchObject({ api: 1, notice: { event: 'gate-opened', code: 'K7QF2M' }, subject: SUBJECT });
});

describe('activity sendNotice', () => {
  const input = (facts: NoticeFacts, unsure = 0, channelName = 'one') => ({
    channel: channelName,
    subject: SUBJECT,
    notice: notice(facts),
    memory: {},
    unsure,
  });
  const sender = (config: object, resolve = resolveSecret) => {
    const own = { ...deps({ name: 'one', ...config }), resolveSecret: resolve };
    return createSendNotice(own, createChannels(own));
  };

  test('where nothing deduplicates, what may have arrived is sent once more and never again', async () => {
    const service = await use(startService(() => ({ status: 200, body: 'ok' })));
    const send = sender({ kind: 'slack', webhook: 'env:URL' });
    await expect(send(input(GATE, 1))).resolves.toMatchObject({ outcome: 'sent' });
    await expect(send(input(GATE, 2))).resolves.toMatchObject({ outcome: 'refused' });
    expect(service.requests).toHaveLength(1);
  });
  test('events that a channel does not want do not reach it', async () => {
    const service = await use(startService(() => ({ status: 200, body: 'ok' })));
    const send = sender({ kind: 'slack', webhook: 'env:URL', events: ['ended'] });
    await expect(send(input(GATE))).resolves.toEqual({ outcome: 'not-wanted' });
    expect(service.requests).toEqual([]);
  });
  test('a secret that cannot be had is tried again later', async () => {
    const send = sender({ kind: 'slack', webhook: 'env:URL' }, () =>
      Promise.reject(stepFailure('SecretUnavailable', '1password does not give op://a/b/c (transient)')),
    );
    await expect(send(input(GATE))).resolves.toMatchObject({ outcome: 'later' });
  });
  test('a channel that the config does not have any more is refused', async () => {
    await expect(sender({ kind: 'slack', webhook: 'env:URL' })(input(GATE, 0, 'gone'))).resolves.toMatchObject({
      outcome: 'refused',
    });
  });
  test('a channel hears of its environments only, and the log of all', () => {
    const channels = createChannels(
      deps(
        { name: 'one', kind: 'slack', webhook: 'env:URL', environments: ['staging'] },
        { name: 'two', kind: 'slack', webhook: 'env:URL' },
      ),
    );
    expect(channels.of('production')).toEqual(['log', 'two']);
    expect(channels.of('staging')).toEqual(['log', 'one', 'two']);
  });
});

test.each(['hang', 'slow'] as const)(
  'a service that is %s is left after its time, and nothing is certain',
  async (kind) => {
    const service = await use(startService(() => ({ status: 200, body: 'ok' })));
    service.fail({ fault: kind });
    const result = await callService({ method: 'POST', url: service.url, body: '{}', timeoutMs: 300 });
    expect(result).toEqual({ delivery: { outcome: 'unsure', why: 'no answer in time' } });
  },
);

test('an answer without end is cut', async () => {
  const service = await use(startService(() => ({ status: 404, body: 'x'.repeat(2_000_000) })));
  const result = await callService({ method: 'POST', url: service.url, body: '{}' });
  expect('answer' in result && result.answer.text.length).toBeLessThan(400_000);
});

test.each([
  ['42', 42],
  ['Sat, 21 Nov 2026 03:43:30 GMT', 30],
  ['Sat, 21 Nov 2026 03:00:00 GMT', 0],
  ['999999', 3_600],
  ['soon', null],
  [null, null],
])('Retry-After %s is %s seconds', (value, seconds) => {
  expect(retryAfter(value, Date.parse('2026-11-21T03:43:00Z'))).toBe(seconds);
});

describe('the config', () => {
  const problemOf = (channelConfig: object): string => {
    const result = channelSchema.safeParse({ name: 'one', ...channelConfig });
    return result.success ? '' : result.error.issues.map(({ message }) => message).join('; ');
  };
  test.each<[object, string]>([
    [
      { kind: 'slack', webhook: 'env:URL', token: 'env:T', channel: 'C012345' },
      'give either webhook, or token and channel',
    ],
    [{ kind: 'slack', token: 'env:T' }, 'token and channel belong together'],
    [{ kind: 'slack', token: 'env:T', channel: '#ops' }, 'use the id of the channel'],
    [{ kind: 'ntfy', topic: 'a b' }, 'use letters, digits, - and _'],
  ])('%j is refused', (config, problem) => {
    expect(problemOf(config)).toContain(problem);
  });
  test('a webhook url written where its reference belongs is refused and not shown', () => {
    const text = `version: 1\nstateDir: /s\nrecord: { kind: directory, path: /r }\nenvironments: {}\nnotify:\n  - { name: one, kind: slack, webhook: 'https://hooks.slack.com/services/T0/B0/secret' }\n`;
    expect(() => parseConfig(text, 'x')).toThrow(/notify\[0\]\.webhook/);
    expect(() => parseConfig(text, 'x')).not.toThrow(/T0\/B0/);
  });
  test('its type is that of the channels', () => {
    const config: ChannelConfig = channelSchema.parse({ name: 'one', kind: 'ntfy', topic: 'ops' });
    expect(config).toEqual({ name: 'one', kind: 'ntfy', topic: 'ops', api: 'https://ntfy.sh' });
  });
});
