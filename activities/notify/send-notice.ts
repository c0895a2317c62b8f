import type { SendNoticeInput, SendNoticeResult } from '../../shared/contracts/notices.js';
import { noticeText } from '../../shared/notice-text.js';
import { webLink } from '../../shared/web-link.js';
import type { ActivityDeps } from '../lib/deps.js';
import { knownFailure } from '../lib/failure.js';
import type { Channels } from './create-channels.js';
import type { Channel, Delivery, Message } from './channel.js';

/** A notice that may have arrived is sent this often in all where nothing deduplicates. */
const UNSURE_LIMIT = 2;

/**
 * Activity `sendNotice`: one attempt to send one notice through one channel. It throws nothing that passes: what happened is the result, and
 * the workflow decides when to try again.
 */
export function createSendNotice(deps: Pick<ActivityDeps, 'config' | 'log'>, channels: Channels) {
  return async function sendNotice(input: SendNoticeInput): Promise<SendNoticeResult> {
    const { channel: name, notice, subject, unsure } = input;
    const channel = channels.get(name);
    if (channel === null) return { outcome: 'refused', why: `the config has no channel ${name}` };
    if (!channels.wants(name, notice.event)) return { outcome: 'not-wanted' };
    if (!channel.isRepeatable && unsure >= UNSURE_LIMIT) {
      return { outcome: 'refused', why: 'it may have arrived, and sending it again could only make more of it' };
    }
    const delivery = await deliver(channel, messageOf(input, deps.config));
    if (delivery.outcome !== 'sent') {
      const { environment, run } = subject;
      deps.log.warn(
        { channel: name, event: notice.event, environment, run, outcome: delivery.outcome, why: delivery.why },
        'a notice was not sent',
      );
    }
    return delivery;
  };
}

async function deliver(channel: Channel, message: Message): Promise<Delivery> {
  try {
    return await channel.send(message);
  } catch (error) {
    const known = knownFailure(error);
    if (known === null) throw error;
    // The secret manager may answer later; what a person has to mend is tried again too, because a secret can be mended meanwhile.
    return { outcome: 'later', why: `${known.type}: ${known.message}`, afterSeconds: null };
  }
}

function messageOf(
  { subject, notice, memory, unsure }: SendNoticeInput,
  { temporal }: Pick<ActivityDeps['config'], 'temporal'>,
): Message {
  const { run, runId } = subject;
  return {
    subject,
    notice,
    text: noticeText(subject, notice),
    key: `${run}/${runId}/${notice.event}/${String(notice.ordinal)}`,
    link: temporal.ui === undefined ? null : webLink(temporal.ui, temporal.namespace ?? 'default', run, runId),
    memory,
    unsure,
  };
}
