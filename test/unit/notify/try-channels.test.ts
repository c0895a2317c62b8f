/**
 * Scenario: channels are looked at, and tried with a message, before anybody needs them.
 * Verified: 1 `pgr check` says of each channel whether its secrets can be had, and sends nothing; 2 a test message takes the way of a notice and leaves
 * nothing open behind; 3 no value of a secret is in what is said.
 */
import { stepFailure } from '../../../activities/lib/failure.js';
import { createCheckChannels } from '../../../activities/notify/check-channels.js';
import { createChannels } from '../../../activities/notify/create-channels.js';
import { createSendNotice } from '../../../activities/notify/send-notice.js';
import { channelSchema } from '../../../config/notify.js';
import type { SendNoticeResult } from '../../../shared/contracts/notices.js';
import { notice, SUBJECT } from '../../support/notices.js';
import { startPagerDuty, startService, startSlack, startStatuspage } from '../../support/notice-services.js';

const SECRET = 'xoxb-very-secret-token-0001';
const quiet = { info: () => undefined, warn: () => undefined };
const running: { stop(): Promise<void> }[] = [];

afterEach(async () => {
  await Promise.all(running.splice(0).map((service) => service.stop()));
});

async function use<T extends { stop(): Promise<void> }>(service: Promise<T>): Promise<T> {
  const started = await service;
  running.push(started);
  return started;
}

type Values = Record<string, string | Error>;

function deps(channels: object[], values: Values = {}) {
  const notify = channels.map((channel) => channelSchema.parse(channel));
  return {
    config: { notify, temporal: {} } as never,
    log: quiet,
    resolveSecret: (reference: string): Promise<string> => {
      const value = values[reference] ?? SECRET;
      return value instanceof Error ? Promise.reject(value) : Promise.resolve(value);
    },
  };
}

const MISSING = stepFailure('CredentialsRefused', 'the secret env:GONE is empty or not set');
const OPS = { name: 'ops', kind: 'slack', token: 'env:TOKEN', channel: 'C012345' };

describe('the doctor', () => {
  const rowsOf = async (channels: object[], values: Values = {}, options = {}) => {
    const { checks } = await createCheckChannels(deps(channels, values), options)({ environment: 'production' });
    return checks.map(({ check, actual, ok }) => [check, actual, ok]);
  };

  test('has a row for each channel that hears of the environment', async () => {
    const rows = await rowsOf([
      OPS,
      { name: 'page', kind: 'pagerduty', routingKey: 'env:KEY', environments: ['production'] },
      { name: 'dev', kind: 'ntfy', topic: 'dev', environments: ['staging'] },
      { name: 'open', kind: 'ntfy', topic: 'ops' },
      { name: 'status', kind: 'statuspage', page: 'p1', key: 'env:KEY', service: 'The shop' },
      { name: 'mail', kind: 'email', host: 'mx', from: 'a@example.com', to: ['b@example.com'] },
    ]);
    expect(rows).toEqual([
      ['channel ops (slack)', 'its secrets can be read', true],
      ['channel page (pagerduty)', 'its secrets can be read', true],
      ['channel open (ntfy)', 'needs no secret', true],
      ['channel status (statuspage)', 'its secrets can be read', true],
      ['channel mail (email)', 'needs no secret', true],
    ]);
  });

  test('names the secret that cannot be had, and goes on with the others', async () => {
    const hook = { name: 'tools', kind: 'webhook', url: 'env:URL', secret: 'env:GONE' };
    const rows = await rowsOf([hook, OPS], { 'env:GONE': MISSING, 'env:URL': 'https://tools.example.com/hook' });
    expect(rows).toEqual([
      ['channel tools (webhook)', 'the secret env:GONE is empty or not set', false],
      ['channel ops (slack)', 'its secrets can be read', true],
    ]);
  });

  test('finds values that cannot work, and does not show them', async () => {
    const rows = await rowsOf(
      [
        { name: 'hook', kind: 'slack', webhook: 'env:URL' },
        { ...OPS, token: 'env:LINES' },
      ],
      { 'env:URL': SECRET, 'env:LINES': `${SECRET}\nsecond line` },
    );
    expect(rows).toEqual([
      ['channel hook (slack)', 'a secret that has to be a url is none', false],
      ['channel ops (slack)', 'a secret has characters that no header of http takes', false],
    ]);
    expect(JSON.stringify(rows)).not.toContain(SECRET);
  });

  test('a manager that does not answer is a finding, not a wait', async () => {
    const own = { ...deps([OPS]), resolveSecret: () => new Promise<string>(() => undefined) };
    const { checks } = await createCheckChannels(own, { withinMs: 20 })({ environment: 'production' });
    expect(checks).toMatchObject([{ ok: false, actual: 'a secret did not come within 0.02 s' }]);
  });

  test('an environment that tells nobody says so', async () => {
    expect(await rowsOf([])).toEqual([['notification channels', 'none: only the log of the worker is told', true]]);
  });
});

describe('a test message', () => {
  const send = (channel: object, values: Values = {}): Promise<SendNoticeResult> => {
    const own = deps([{ name: 'one', ...channel }], values);
    const input = { channel: 'one', subject: SUBJECT, notice: notice({ event: 'test' }), memory: {}, unsure: 0 };
    return createSendNotice(own, createChannels(own))(input);
  };

  test('reaches also a channel that asked for other events only', async () => {
    const slack = await use(startSlack({ token: SECRET }));
    const result = await send({ ...OPS, name: 'one', api: slack.url, events: ['drill-failed'] });
    expect(result).toMatchObject({ outcome: 'sent' });
    expect(slack.messages.map(({ text }) => text)).toEqual([
      expect.stringContaining('test message of pgr for production') as string,
    ]);
  });

  test('calls whoever is on call, and is over at once', async () => {
    const pagerDuty = await use(startPagerDuty(SECRET));
    const result = await send({ kind: 'pagerduty', routingKey: 'env:KEY', api: pagerDuty.url });
    expect(result).toMatchObject({ outcome: 'sent', note: 'triggered and resolved' });
    expect(pagerDuty.requests.map(({ json }) => json)).toMatchObject([
      { event_action: 'trigger', payload: { severity: 'info' } },
      { event_action: 'resolve' },
    ]);
    expect([...pagerDuty.incidents.values()]).toEqual(['resolved']);
  });

  test('says when a call could not be closed again', async () => {
    const pagerDuty = await use(startPagerDuty(SECRET));
    const taken = { status: 202, body: { status: 'success' } };
    pagerDuty.fail({ fault: taken, afterwards: true }, { fault: { status: 500 } });
    const result = await send({ kind: 'pagerduty', routingKey: 'env:KEY', api: pagerDuty.url });
    expect(result).toMatchObject({ outcome: 'sent', note: expect.stringContaining('not resolved') as string });
  });

  test('is not shown to the public: the status page is only read', async () => {
    const page = await use(startStatuspage());
    const config = { kind: 'statuspage', page: 'p1', key: 'env:KEY', service: 'The shop', api: page.url };
    await expect(send(config)).resolves.toMatchObject({ outcome: 'sent', note: expect.any(String) as string });
    expect(page.requests.map(({ method }) => method)).toEqual(['GET']);
    page.fail({ fault: { status: 401, body: { error: `bad ${SECRET}` } } });
    const refused = await send(config);
    expect(refused).toMatchObject({ outcome: 'refused', why: 'http status 401' });
    expect(page.incidents).toEqual([]);
  });

  test('a secret that cannot be had is the reason that is given', async () => {
    const hook = await use(startService(() => ({ status: 204 })));
    const result = await send(
      { kind: 'webhook', url: 'env:URL', secret: 'env:GONE' },
      { 'env:URL': hook.url, 'env:GONE': MISSING },
    );
    expect(result).toMatchObject({ why: 'CredentialsRefused: the secret env:GONE is empty or not set' });
    expect(hook.requests).toEqual([]);
  });
});
