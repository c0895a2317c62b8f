import { workflowInfo } from '@temporalio/workflow';

import type {
  ChannelTest,
  Notice,
  NotifyTestInput,
  NotifyTestResult,
  NoticeSubject,
  SendNoticeResult,
} from '../shared/contracts/notices.js';
import { interactive, sender } from './lib/activity-proxies.js';
import { nowIso } from './lib/clock.js';
import { asRunFailure, runFailure } from './lib/failures.js';

/**
 * One test message through each channel that hears of an environment, by the activity that sends notices. One attempt each: a person waits and can ask
 * again. Fails NotFound for a channel that the environment does not have.
 */
export async function notifyTest(input: NotifyTestInput): Promise<NotifyTestResult> {
  try {
    const { channels } = await interactive.listChannels({ environment: input.environment });
    if (input.channel !== null && !channels.includes(input.channel)) throw noChannel(input, channels);
    const chosen = channels.filter((name) => input.channel === null || name === input.channel);
    const subject = subjectOf(input);
    const notice: Notice = { event: 'test', ordinal: 1, at: nowIso() };
    return {
      channels: await Promise.all(
        chosen.map(async (channel) =>
          testOf(channel, await sender.sendNotice({ channel, subject, notice, memory: {}, unsure: 0 }).catch(notSent)),
        ),
      ),
    };
  } catch (error) {
    throw asRunFailure(error);
  }
}

function subjectOf({ environment, requestedBy }: NotifyTestInput): NoticeSubject {
  const { workflowId, runId } = workflowInfo();
  const title = 'Test of the notification channels';
  return { environment, run: workflowId, runId, runbook: 'test', title, requestedBy, reason: '', target: null };
}

function noChannel({ environment, channel }: NotifyTestInput, channels: readonly string[]) {
  return runFailure('NotFound', `no channel ${channel ?? ''} hears of ${environment}`, {
    hint: `its channels are ${channels.join(', ')}`,
    next: [`pgr notify test ${environment}`],
  });
}

/** The worker died or did not come to it. */
function notSent(): SendNoticeResult {
  return { outcome: 'unsure', why: 'the worker did not say what happened' };
}

function testOf(channel: string, result: SendNoticeResult): ChannelTest {
  switch (result.outcome) {
    case 'sent':
      return { channel, outcome: 'delivered', why: result.note ?? null };
    case 'unsure':
      return { channel, outcome: 'failed', why: `${result.why}; it may have arrived` };
    case 'not-wanted':
      return { channel, outcome: 'failed', why: 'the channel takes no test: its worker is of an older build' };
    case 'later':
    case 'refused':
    default:
      return { channel, outcome: 'failed', why: result.why };
  }
}
