/**
 * Telling people of a run. Everything goes to one workflow beside the run (`tellPeople`), which sends, waits and tries again on its own time:
 * the run only hands its notices over and never waits for a service, and what was not sent when the run ends is sent afterwards.
 */
import { CancellationScope, condition, getExternalWorkflowHandle, patched, startChild } from '@temporalio/workflow';

import type { NotifyInput } from '../../shared/contracts/activities.js';
import type { Notice, NoticeFacts, NoticeSubject } from '../../shared/contracts/notices.js';
import type { RunView } from '../../shared/contracts/status.js';
import { noticesIdFor } from '../../shared/ids.js';
import { currentStep, positionOf } from '../../shared/run-state.js';
import { noticeSignal } from '../messages.js';
import { tellPeople } from '../tell-people.js';
import { courtesy } from './activity-proxies.js';
import { nowIso, secondsSince } from './clock.js';

/** How often people hear that production is still down. */
const STILL_DOWN_EVERY = '15 minutes';

/** What the events were called before there were channels, with their words. */
const EARLIER_EVENTS: Readonly<Partial<Record<NoticeFacts['event'], NotifyInput['event']>>> = {
  'gate-opened': 'gate-opened',
  'gate-reminder': 'gate-reminder',
  'gate-expired': 'gate-expired',
  'needs-attention': 'needs-attention',
  ended: 'ended',
};

type Outage = { since: string; isOurs: boolean };

export class Notices {
  readonly #view: RunView;
  readonly #subject: NoticeSubject;
  /** False in a run that began before there were channels: it goes on as its history has it. */
  readonly #hasChannels: boolean;
  readonly #earlier: Promise<unknown>[] = [];
  #ordinal = 0;
  #waiting: Notice[] = [];
  #isMuted = false;
  #isStarted = false;
  #handingOver: Promise<void> | null = null;
  #outage: Outage | null = null;

  constructor(view: RunView, title: string, target: string | null) {
    const { environment, run, runId, runbook, requestedBy, reason } = view;
    this.#view = view;
    this.#subject = { environment, run, runId, runbook, title, requestedBy, reason, target };
    this.#hasChannels = patched('notice-channels');
  }

  /** A run that only makes a plan tells nobody. */
  mute(): void {
    this.#isMuted = this.#hasChannels;
  }

  /** Tells people, without waiting for it. */
  tell(facts: NoticeFacts): void {
    if (!this.#hasChannels) {
      this.#tellAsEarlier(facts);
      return;
    }
    if (this.#isMuted) return;
    this.#ordinal += 1;
    this.#waiting.push({ ...facts, ordinal: this.#ordinal, at: nowIso() });
    this.#handingOver ??= this.#handOver();
  }

  /** From now on nobody can write. `isOurs`: this run brought it about, so its undo ends it. */
  productionDown(why: string, isOurs = true): void {
    if (!this.#hasChannels || this.#isMuted || this.#outage !== null) return;
    this.#outage = { since: nowIso(), isOurs };
    this.tell({ event: 'production-down', why });
    void CancellationScope.nonCancellable(() => this.#remindWhileDown()).catch(() => undefined);
  }

  /** Writes were seen to work again. */
  serviceRestored(facts: Omit<Extract<NoticeFacts, { event: 'service-restored' }>, 'event'>): void {
    if (!this.#hasChannels || (facts.how === 'put-back' && this.#outage?.isOurs !== true)) return;
    this.#outage = null;
    this.tell({ event: 'service-restored', ...facts });
  }

  get isDown(): boolean {
    return this.#outage !== null;
  }

  /** Returns when every notice is in the hands of the workflow that sends them: a matter of the Temporal server only. */
  async settle(): Promise<void> {
    await Promise.all(this.#earlier);
    while (this.#handingOver !== null) await this.#handingOver;
  }

  async #remindWhileDown(): Promise<void> {
    const outage = this.#outage;
    if (outage === null) return;
    const { since } = outage;
    const isOver = (): boolean => this.#outage !== outage || this.#view.endedAt !== null;
    while (!(await condition(isOver, STILL_DOWN_EVERY, { summary: 'production is still down' }))) {
      const step = currentStep(this.#view);
      const position = (step === null ? null : positionOf(this.#view, step.id)) ?? '';
      const seconds = Math.round(secondsSince(since, nowIso()));
      this.tell({ event: 'still-down', since, seconds, step: step?.id ?? '', title: step?.title ?? '', position });
    }
  }

  /** What cannot be handed over is left: telling people never holds up a recovery. */
  async #handOver(): Promise<void> {
    await CancellationScope.nonCancellable(async () => {
      while (this.#waiting.length > 0) {
        const notices = this.#waiting;
        this.#waiting = [];
        await this.#send(notices).catch(() => undefined);
      }
    });
    this.#handingOver = null;
  }

  async #send(notices: Notice[]): Promise<void> {
    const workflowId = noticesIdFor(this.#view.run, this.#view.runId);
    if (this.#isStarted) {
      await getExternalWorkflowHandle(workflowId).signal(noticeSignal, notices);
      return;
    }
    await startChild(tellPeople, {
      workflowId,
      args: [{ subject: this.#subject, notices, open: true }],
      parentClosePolicy: 'ABANDON',
      cancellationType: 'ABANDON',
      memo: { environment: this.#view.environment },
    });
    this.#isStarted = true;
  }

  #tellAsEarlier(facts: NoticeFacts): void {
    const event = EARLIER_EVENTS[facts.event];
    if (event === undefined) return;
    const { environment, run } = this.#view;
    this.#earlier.push(
      CancellationScope.nonCancellable(() => courtesy.notify({ environment, run, event, text: facts.event })).catch(
        () => undefined,
      ),
    );
  }
}
