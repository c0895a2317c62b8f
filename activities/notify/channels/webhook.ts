import { createHmac } from 'node:crypto';

import type { Channel, ChannelOf, Delivery, Message, ResolveSecret } from '../channel.js';
import { callService, deliveryOf } from '../http.js';

/**
 * A webhook of one's own. `X-Signature: t=<unix seconds>,v1=<hex of HMAC-SHA256 of "t.body">` proves who sent it and when; `Idempotency-Key`
 * is the same on every attempt, so that the receiver can drop a repeat.
 */
export function createWebhook(config: ChannelOf<'webhook'>, resolveSecret: ResolveSecret): Channel {
  return {
    defaultEvents: null,
    isRepeatable: true,
    async send(message): Promise<Delivery> {
      const body = webhookBody(message);
      const [url, secret] = [await resolveSecret(config.url), await resolveSecret(config.secret)];
      const seconds = Math.floor(Date.now() / 1000);
      const result = await callService({
        method: 'POST',
        url,
        headers: {
          'x-signature': signatureOf(body, secret, seconds),
          'idempotency-key': message.key,
          'x-pgr-event': message.notice.event,
        },
        body,
      });
      if ('delivery' in result) return result.delivery;
      const { status } = result.answer;
      return status >= 200 && status < 300 ? { outcome: 'sent', memory: {} } : deliveryOf(result.answer);
    },
  };
}

/** Value of `X-Signature`; pure. */
function signatureOf(body: string, secret: string, unixSeconds: number): string {
  const t = String(unixSeconds);
  return `t=${t},v1=${createHmac('sha256', secret).update(`${t}.${body}`).digest('hex')}`;
}

function webhookBody({ subject, notice, text, key, link }: Message): string {
  return JSON.stringify({ api: 1, key, subject, notice, text, link });
}
