/**
 * A Slack bot: the first notice of a run is a message, all others are replies to it. Each carries its key as metadata, so that a message of
 * which nobody knows whether it arrived is looked for before it is sent again.
 */
import type { ChannelMemory } from '../../../shared/contracts/notices.js';
import type { Channel, ChannelOf, Delivery, Message, ResolveSecret } from '../channel.js';
import { callService, deliveryOf, fieldOf, wordOf, type HttpAnswer } from '../http.js';
import { slackBody } from './slack-blocks.js';

type Config = Pick<ChannelOf<'slack'>, 'api'> & { token: string; channel: string };
type Result = { answer: HttpAnswer } | { delivery: Delivery };
type Call = (method: string, body: Record<string, unknown>) => Promise<Result>;

/** Slack answers 200 to everything: `ok` says whether it worked, and these errors pass by themselves. */
const PASSING = new Set([
  'ratelimited',
  'rate_limited',
  'internal_error',
  'fatal_error',
  'service_unavailable',
  'request_timeout',
]);
/** The thread is gone, the channel is not. */
const NO_THREAD = new Set(['thread_not_found', 'message_not_found', 'cannot_reply_to_message']);
const METADATA_TYPE = 'pgr_notice';
/** Shown in the channel too, not only to those who follow the thread. */
const BROADCAST = new Set(['gate-opened', 'needs-attention', 'production-down', 'service-restored', 'ended']);
/** Messages of a channel or a thread that are searched for ours. */
const SEARCHED = 100;
/** Clocks may differ by minutes. */
const CLOCK_SKEW_SECONDS = 600;

/** Channel `slack` with a token. */
export function createSlackBot(config: Config, resolveSecret: ResolveSecret): Channel {
  const api = config.api.replace(/\/+$/, '');
  const authorization = async (): Promise<{ authorization: string }> => ({
    authorization: `Bearer ${await resolveSecret(config.token)}`,
  });
  const write: Call = async (method, body) =>
    callService({
      method: 'POST',
      url: `${api}/${method}`,
      headers: await authorization(),
      body: JSON.stringify(body),
    });
  // Slack's methods that read take no JSON.
  const read: Call = async (method, body) => {
    const query = new URLSearchParams(
      Object.entries(body).map(([key, value]): [string, string] => [key, String(value)]),
    );
    return callService({ method: 'GET', url: `${api}/${method}?${query.toString()}`, headers: await authorization() });
  };
  return {
    defaultEvents: null,
    // Where the bot may read its channel. Where it may not, a message is repeated at most once.
    isRepeatable: true,
    async send(message): Promise<Delivery> {
      const found =
        message.unsure === 0 ? { outcome: 'missing' as const } : await findSent(read, config.channel, message);
      switch (found.outcome) {
        case 'found':
          return { outcome: 'sent', memory: found.memory };
        case 'unknown':
          return found.delivery;
        case 'not-allowed':
          if (message.unsure > 1) return { outcome: 'refused', why: `it may have arrived, and ${found.why}` };
          return post(write, config.channel, message, message.memory['threadTs']);
        case 'missing':
        default:
          return post(write, config.channel, message, message.memory['threadTs']);
      }
    },
  };
}

async function post(write: Call, channel: string, message: Message, threadTs: string | undefined): Promise<Delivery> {
  const result = await write('chat.postMessage', postBody(channel, message, threadTs));
  if ('delivery' in result) return result.delivery;
  const { json, status } = result.answer;
  const ts = fieldOf(json, 'ts');
  if (status === 200 && fieldOf(json, 'ok') === true && typeof ts === 'string') {
    return { outcome: 'sent', memory: { threadTs: threadTs ?? ts } };
  }
  const error = wordOf(fieldOf(json, 'error'));
  if (threadTs !== undefined && NO_THREAD.has(error)) return post(write, channel, message, undefined);
  return slackRefusal(result.answer, error);
}

type Found =
  | { outcome: 'found'; memory: ChannelMemory }
  | { outcome: 'missing' }
  | { outcome: 'not-allowed'; why: string }
  | { outcome: 'unknown'; delivery: Delivery };

/** Looks for a message with the same key: in the thread, or for the first message in the channel. */
async function findSent(read: Call, channel: string, { memory, key, notice }: Message): Promise<Found> {
  const threadTs = memory['threadTs'];
  const oldest = Math.floor(Date.parse(notice.at) / 1000) - CLOCK_SKEW_SECONDS;
  const range = { channel, oldest, limit: SEARCHED, include_all_metadata: true };
  const result = await (threadTs === undefined
    ? read('conversations.history', range)
    : read('conversations.replies', { ...range, ts: threadTs }));
  if ('delivery' in result) return { outcome: 'unknown', delivery: notLooked(result.delivery) };
  const { json } = result.answer;
  if (fieldOf(json, 'ok') !== true) {
    const error = wordOf(fieldOf(json, 'error'));
    if (NO_THREAD.has(error)) return { outcome: 'missing' };
    const delivery = slackRefusal(result.answer, error);
    return delivery.outcome === 'refused'
      ? { outcome: 'not-allowed', why: delivery.why }
      : { outcome: 'unknown', delivery: notLooked(delivery) };
  }
  const messages: unknown = fieldOf(json, 'messages');
  const own: unknown = Array.isArray(messages) ? messages.find((one) => keyOf(one) === key) : undefined;
  if (own === undefined) return { outcome: 'missing' };
  const ts = threadTs ?? fieldOf(own, 'ts');
  return { outcome: 'found', memory: typeof ts === 'string' ? { threadTs: ts } : {} };
}

/** Only looking failed: nothing was sent in this attempt. */
function notLooked(delivery: Delivery): Delivery {
  if (delivery.outcome === 'sent' || delivery.outcome === 'later') return delivery;
  return { outcome: 'later', why: `cannot look for it: ${delivery.why}`, afterSeconds: null };
}

function keyOf(message: unknown): unknown {
  const metadata = fieldOf(message, 'metadata');
  return fieldOf(metadata, 'event_type') === METADATA_TYPE
    ? fieldOf(fieldOf(metadata, 'event_payload'), 'key')
    : undefined;
}

function postBody(channel: string, message: Message, threadTs: string | undefined): Record<string, unknown> {
  const { notice, key } = message;
  return {
    channel,
    ...slackBody(message),
    metadata: { event_type: METADATA_TYPE, event_payload: { key } },
    ...(threadTs === undefined ? {} : { thread_ts: threadTs, reply_broadcast: BROADCAST.has(notice.event) }),
  };
}

function slackRefusal(answer: HttpAnswer, error: string): Delivery {
  if (answer.status !== 200) return deliveryOf(answer, error);
  const why = `slack says ${error === '' ? 'no' : error}`;
  return PASSING.has(error)
    ? { outcome: 'later', why, afterSeconds: answer.retryAfterSeconds }
    : { outcome: 'refused', why };
}
