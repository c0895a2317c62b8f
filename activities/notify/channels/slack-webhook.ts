import { callService, deliveryOf, wordOf } from '../http.js';
import type { Channel, Delivery, ResolveSecret } from '../channel.js';
import { slackBody } from './slack-blocks.js';

/** Slack's incoming webhook: it answers with a word and no id, so there are no threads, and nothing shows whether a message arrived. */
export function createSlackWebhook(reference: string, resolveSecret: ResolveSecret): Channel {
  return {
    defaultEvents: null,
    isRepeatable: false,
    async send(message): Promise<Delivery> {
      const result = await callService({
        method: 'POST',
        url: await resolveSecret(reference),
        body: JSON.stringify(slackBody(message)),
      });
      if ('delivery' in result) return result.delivery;
      const { answer } = result;
      if (answer.status === 200 && answer.text.trim() === 'ok') return { outcome: 'sent', memory: {} };
      if (answer.status === 200) return { outcome: 'refused', why: 'the webhook did not answer ok' };
      return deliveryOf(answer, wordOf(answer.text));
    },
  };
}
