import { URGENT_EVENTS, type Channel, type ChannelOf, type Delivery, type ResolveSecret } from '../channel.js';
import { callService, deliveryOf } from '../http.js';
import { plainText } from '../plain-text.js';

/** Priorities of ntfy: 5 sounds through "do not disturb". */
const PRIORITY = { page: 5, warning: 4, notice: 3, good: 3 };
const TAGS = {
  page: ['rotating_light'],
  warning: ['warning'],
  notice: ['information_source'],
  good: ['white_check_mark'],
};
/** ntfy makes an attachment of a longer message. */
const MAX_BYTES = 3_500;

/** A topic of ntfy.sh or of a server of one's own. Nothing deduplicates there. */
export function createNtfy(config: ChannelOf<'ntfy'>, resolveSecret: ResolveSecret): Channel {
  const { topic, token } = config;
  return {
    defaultEvents: URGENT_EVENTS,
    isRepeatable: false,
    async send(message): Promise<Delivery> {
      const { text, link } = message;
      const result = await callService({
        method: 'POST',
        url: config.api,
        headers: token === undefined ? {} : { authorization: `Bearer ${await resolveSecret(token)}` },
        body: JSON.stringify({
          topic,
          title: text.title,
          message: cutBytes(plainText(message) || text.title),
          priority: PRIORITY[text.urgency],
          tags: TAGS[text.urgency],
          ...(link === null ? {} : { click: link }),
        }),
      });
      if ('delivery' in result) return result.delivery;
      return result.answer.status === 200 ? { outcome: 'sent', memory: {} } : deliveryOf(result.answer);
    },
  };
}

function cutBytes(text: string): string {
  const bytes = Buffer.from(text, 'utf8');
  return bytes.length <= MAX_BYTES
    ? text
    : `${bytes
        .subarray(0, MAX_BYTES)
        .toString('utf8')
        .replace(/\uFFFD$/, '')}…`;
}
