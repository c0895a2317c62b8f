/**
 * Tells people of one run, beside the run and after it. Each channel has its own queue: one that hangs or is down holds up no other. What a
 * channel knows of the run (the thread of Slack, the incident of the status page) stands here, so that a crash makes no second one.
 */
import { ActivityFailure, TimeoutFailure } from '@temporalio/common';
import { condition, continueAsNew, setCurrentDetails, setHandler, sleep, workflowInfo } from '@temporalio/workflow';

import type { ChannelMemory, Notice, SendNoticeResult, TellPeopleInput } from '../shared/contracts/notices.js';
import { codeSpan, escapeMarkdown } from '../shared/markdown.js';
import { isOvertaken, nextDelaySeconds } from '../shared/notice-queue.js';
import { patient, sender } from './lib/activity-proxies.js';
import { secondsSince, nowIso } from './lib/clock.js';
import { noticeSignal } from './messages.js';

/** What could not be sent in this time is news no more. */
const GIVE_UP_AFTER_SECONDS = 3_600;
/** A run that was terminated never says that it ended. */
const SILENT_AFTER = '30 days';
/** Lines of the page in the Web UI. */
const MAX_LINES = 30;

type Queue = { channel: string; waiting: Notice[]; memory: ChannelMemory; isBusy: boolean };
/** What a new execution of this workflow takes over. */
type Carried = { memories: Record<string, ChannelMemory> };

export async function tellPeople(input: TellPeopleInput, carried: Carried = { memories: {} }): Promise<void> {
  const early: Notice[] = [...input.notices];
  const state = { queues: null as Queue[] | null, isOpen: input.open };
  const take = (notices: readonly Notice[]): void => {
    for (const notice of notices) {
      if (state.queues === null) early.push(notice);
      else for (const queue of state.queues) queue.waiting.push(notice);
      if (notice.event === 'ended') state.isOpen = false;
    }
  };
  setHandler(noticeSignal, take, { description: 'Notices of the run; sent by the run itself.' });
  const { channels } = await patient.listChannels({ environment: input.subject.environment });
  const queues = channels.map((channel): Queue => ({
    channel,
    waiting: [...early],
    memory: carried.memories[channel] ?? {},
    isBusy: false,
  }));
  state.queues = queues;
  if (early.some(({ event }) => event === 'ended')) state.isOpen = false;
  const page = createPage(input.subject.run);
  const isIdle = (): boolean => queues.every(({ waiting, isBusy }) => waiting.length === 0 && !isBusy);
  const mustRenew = (): boolean => workflowInfo().continueAsNewSuggested && isIdle();
  const serving = Promise.all(queues.map((queue) => serve(input, queue, () => state.isOpen && !mustRenew(), page)));
  await serving;
  if (state.isOpen && mustRenew()) {
    const memories = Object.fromEntries(queues.map(({ channel, memory }) => [channel, memory]));
    await continueAsNew<typeof tellPeople>({ ...input, notices: [] }, { memories });
  }
}

/** One notice after the other, until there will be no more. */
async function serve(input: TellPeopleInput, queue: Queue, isOpen: () => boolean, page: Page): Promise<void> {
  for (;;) {
    const woken = await condition(() => queue.waiting.length > 0 || !isOpen(), SILENT_AFTER, {
      summary: 'the next notice',
    });
    const notice = queue.waiting.shift();
    if (notice === undefined) {
      if (woken && isOpen()) continue;
      return;
    }
    if (isOvertaken(notice, queue.waiting)) continue;
    queue.isBusy = true;
    await deliver(input, queue, notice, page);
    queue.isBusy = false;
  }
}

/** Sends one notice, again and again for an hour. Never throws. */
async function deliver({ subject }: TellPeopleInput, queue: Queue, notice: Notice, page: Page): Promise<void> {
  const { channel } = queue;
  let unsure = 0;
  for (let attempt = 1; ; attempt += 1) {
    const result = await attemptOnce({ channel, subject, notice, memory: queue.memory, unsure });
    if (result.outcome === 'not-wanted') return;
    if (result.outcome === 'sent') {
      queue.memory = { ...queue.memory, ...result.memory };
      page(`✓ ${channel}: ${notice.event}`);
      return;
    }
    if (result.outcome === 'unsure') unsure += 1;
    const delay = nextDelaySeconds(attempt, result.outcome === 'later' ? result.afterSeconds : null);
    const isLast = result.outcome === 'refused' || isTooLate(notice, delay) || isOvertaken(notice, queue.waiting);
    page(`✗ ${channel}: ${notice.event}: ${result.why}${isLast ? ', given up' : ''}`);
    if (isLast) return;
    await sleep(`${delay} seconds`, { summary: `${channel}: ${notice.event} again` });
  }
}

function isTooLate({ at }: Notice, delaySeconds: number): boolean {
  return secondsSince(at, nowIso()) + delaySeconds > GIVE_UP_AFTER_SECONDS;
}

/** A worker that died while it sent leaves a timeout: nobody knows whether the notice went out. */
async function attemptOnce(input: Parameters<typeof sender.sendNotice>[0]): Promise<SendNoticeResult> {
  try {
    return await sender.sendNotice(input);
  } catch (error) {
    const cause = error instanceof ActivityFailure ? error.cause : error;
    const why = cause instanceof TimeoutFailure ? 'no sign of the worker that sent it' : 'the activity failed';
    return { outcome: 'unsure', why };
  }
}

type Page = (line: string) => void;

/** What was sent and what was not, for whoever looks. */
function createPage(run: string): Page {
  const lines: string[] = [];
  return (line) => {
    lines.push(`- ${escapeMarkdown(line)}`);
    setCurrentDetails([`## Notices of ${codeSpan(run)}`, '', ...lines.slice(-MAX_LINES)].join('\n'));
  };
}
