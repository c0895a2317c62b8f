/** A run that needs attention: what people may choose (retry, skip, abort), and the wait for it. */
import { CancellationScope, condition, setHandler } from '@temporalio/workflow';

import { readCommand } from '../../shared/gate-policy.js';
import { parkedNotice } from '../../shared/notice-facts.js';
import { abortUpdate, DESCRIPTIONS, retryUpdate, skipUpdate, type CommandOutcome } from '../messages.js';
import { pingOf } from './activity-proxies.js';
import type { Engine } from './engine.js';
import { readFailure, runFailure, type FailureFacts } from './failures.js';
import { rawUpdate, readPayload, shielded } from './raw-payload.js';

export type Choice = 'retry' | 'skip';
type Command = Choice | 'abort';
/** `forward`: the runbook goes on and may be aborted; `final`: it is being put back or written off; `ended`: nothing more is decided. */
type Phase = 'forward' | 'final' | 'ended';
export type Abort = { by: string; reason: string };

const COMMANDS = [
  ['retry', retryUpdate],
  ['skip', skipUpdate],
  ['abort', abortUpdate],
] as const;

export class Attention {
  abort: Abort | null = null;
  phase: Phase = 'forward';
  readonly #engine: Engine;
  #offered: readonly Command[] = [];
  #chosen: Choice | null = null;
  #scope: CancellationScope | null = null;

  constructor(engine: Engine) {
    this.#engine = engine;
    for (const [command, update] of COMMANDS) {
      setHandler(rawUpdate(update), (raw) => shielded(() => this.#command(command, readPayload(raw))), {
        description: DESCRIPTIONS[command],
      });
    }
  }

  /** Runs work that an abort cancels (a transfer of hours must not have to end first). */
  async cancellable<T>(work: () => Promise<T>): Promise<T> {
    this.throwIfAborted();
    const scope = new CancellationScope({ cancellable: true });
    this.#scope = scope;
    try {
      return await scope.run(work);
    } finally {
      this.#scope = null;
    }
  }

  throwIfAborted(): void {
    if (this.phase === 'forward' && this.abort !== null) {
      throw runFailure('RunAborted', `aborted by ${this.abort.by}: ${this.abort.reason}`);
    }
  }

  /** An abort from outside of the updates: a cancel request of the Web UI or of the parent. */
  requestAbort(abort: Abort): string | null {
    if (this.phase !== 'forward') return this.phase === 'ended' ? 'the run has ended' : 'the run is ending already';
    if (this.abort !== null) return 'an abort is under way';
    this.abort = abort;
    this.#engine.push({ kind: 'command', command: 'abort', ...abort });
    this.#scope?.cancel();
    return null;
  }

  /** Shows the failure and waits until a person chooses, or until a host that was away answers again. Throws when they abort. */
  async park(step: string, facts: FailureFacts, choices: readonly Choice[]): Promise<Choice> {
    const { view } = this.#engine;
    const offered: Command[] = this.phase === 'forward' ? [...choices, 'abort'] : [...choices];
    this.#chosen = null;
    this.#offered = offered;
    view.status = 'needs-attention';
    view.failure = { step, code: facts.code, message: facts.message, hint: facts.hint, choices: offered };
    this.#engine.publish();
    // What led here is written while the run waits, unless the record is what it waits for.
    if (facts.code !== 'RecordUnavailable' && facts.code !== 'RecordConflict') void this.#engine.flush();
    this.#engine.notices.tell(parkedNotice(view, step, facts.code, offered));
    const chosen = await this.#wait(step, facts.host);
    this.#engine.notices.tell({ event: 'attention-over', step, choice: this.abort === null ? chosen : 'abort' });
    this.#offered = [];
    view.failure = null;
    view.status = 'running';
    this.#engine.publish();
    this.throwIfAborted();
    return chosen;
  }

  async #wait(step: string, host: string | undefined): Promise<Choice> {
    const waiting = new CancellationScope({ cancellable: true });
    if (host !== undefined) {
      waiting
        .run(() => answerOf(host))
        .then(() => {
          if (this.#chosen !== null || this.abort !== null) return;
          this.#engine.push({ kind: 'note', text: `host ${host} answers again: ${step} is tried again` });
          this.#chosen = 'retry';
        })
        .catch(() => undefined);
    }
    await condition(() => this.#chosen !== null || (this.phase === 'forward' && this.abort !== null));
    waiting.cancel();
    return this.#chosen ?? 'retry';
  }

  async #command(command: Command, payload: unknown): Promise<CommandOutcome> {
    const read = readCommand(payload, command !== 'retry');
    const why = read.problem ?? this.#take(command, read);
    if (why === null) return { accepted: true, why };
    this.#engine.push({ kind: 'note', text: `${command} by ${read.by} refused: ${why}` });
    await this.#engine.flushSoon();
    return { accepted: false, why };
  }

  /** Null when the command was taken. The run goes on in the same workflow task, and its next step writes the entry first. */
  #take(command: Command, { by, reason }: Abort): string | null {
    if (command === 'abort') return this.requestAbort({ by, reason });
    if (!this.#offered.includes(command)) {
      const offered = this.#offered.join(', ');
      return offered === '' ? 'the run does not need attention' : `not offered here: ${offered}`;
    }
    this.#offered = [];
    this.#engine.push({ kind: 'command', command, by, reason });
    this.#chosen = command;
    return null;
  }
}

/** Waits until the worker of `host` answers. Any answer will do, also that of an older worker that does not know the ping. */
async function answerOf(host: string): Promise<void> {
  for (;;) {
    try {
      await pingOf(host).pingHost({ host });
      return;
    } catch (error) {
      if (CancellationScope.current().consideredCancelled) throw error;
      if (readFailure(error).code !== 'HostUnreachable') return;
    }
  }
}
