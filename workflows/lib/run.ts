/**
 * A run of a runbook: its steps, what people see of it, its record. Every step goes through {@link Run.step}: recorded before and after,
 * parked when it fails, undone in reverse when a person aborts. `conductRun` is the frame around a runbook.
 */
import { ApplicationFailure } from '@temporalio/common';
import { allHandlersFinished, condition, setHandler, workflowInfo } from '@temporalio/workflow';

import type { RecordEntryBody } from '../../shared/contracts/record.js';
import type { RunRequest } from '../../shared/contracts/runs.js';
import type { PlanView, RunStatus, RunView, StepView } from '../../shared/contracts/status.js';
import type { FailureType } from '../../shared/failures.js';
import { endNotice } from '../../shared/notice-facts.js';
import type { Runbook, RunbookStep } from '../../shared/runbook.js';
import { beginStep, currentStep, endStep, newRunView, skipPending } from '../../shared/run-state.js';
import { DESCRIPTIONS, statusQuery } from '../messages.js';
import { Attention } from './attention.js';
import { nowIso, secondsSince } from './clock.js';
import { createDisplay } from './display.js';
import { stepFailed, type Engine } from './engine.js';
import { readFailure, runFailure, type FailureFacts } from './failures.js';
import { Gates, type GateRequest } from './gate.js';
import { Notices } from './notices.js';
import { createRecorder, type Recorder } from './recorder.js';
import { UndoStack, type Undo } from './undo-stack.js';

/** The command line waits 45 s for an answer; half of that is left to the server and a signature check. */
const ANSWER_WITHIN = '20 seconds';

export type StepOptions<T> = {
  /** Registered before the work begins. */
  undo?: Undo;
  /** Result of the step when a person skips it; only for rows that the table marks skippable. */
  whenSkipped?: () => T;
  /** Failures that end the run at once instead of parking it: nothing was begun, and the same call can only fail again. */
  refusals?: readonly FailureType[];
  /** Asked before the run is parked: true when it goes on another way, and {@link Run.step} then throws what {@link isLeft} knows. */
  leave?: (facts: FailureFacts) => Promise<boolean>;
};

export class Run<StepId extends string> {
  readonly view: RunView;
  readonly undo: UndoStack;
  readonly attention: Attention;
  readonly notices: Notices;
  readonly #runbook: Runbook;
  readonly #request: RunRequest;
  readonly #recorder: Recorder;
  readonly #gates: Gates;
  readonly #engine: Engine;

  /** Handlers are set here, before anything is awaited, so that a decision that comes too early is refused and not lost. */
  constructor(
    runbook: Runbook & { steps: readonly { id: StepId }[] },
    request: RunRequest,
    target: string | null = null,
  ) {
    const { workflowId, runId } = workflowInfo();
    this.#runbook = runbook;
    this.#request = request;
    this.view = newRunView(runbook, request, workflowId, runId, nowIso());
    this.notices = new Notices(this.view, runbook.title, target);
    this.#recorder = createRecorder(request.environment, workflowId, runId);
    this.#engine = this.#createEngine(runId, createDisplay(this.view, runbook.title, target));
    this.attention = new Attention(this.#engine);
    this.undo = new UndoStack(this.#engine, this.attention);
    this.#gates = new Gates(
      this.#engine,
      runbook.steps.flatMap((step: RunbookStep) => (step.gate === undefined ? [] : [step.gate])),
    );
    setHandler(statusQuery, () => this.view, { description: DESCRIPTIONS.status });
    this.#engine.publish();
  }

  /** One line of the runbook. Returns when the work is done and recorded, or skipped by a person. */
  async step<T>(id: StepId, work: (attempt: number) => Promise<T>, options: StepOptions<T> = {}): Promise<T> {
    const step = this.#stepOf(id);
    for (;;) {
      this.attention.throwIfAborted();
      beginStep(step, nowIso());
      this.publish();
      try {
        return await this.#attempt(step, work, options);
      } catch (error) {
        if (this.#engine.isAborted()) endStep(step, 'failed', nowIso());
        this.attention.throwIfAborted();
        if ((await this.#failed(step, error, options)) === 'skip' && options.whenSkipped !== undefined) {
          endStep(step, 'skipped', nowIso());
          return options.whenSkipped();
        }
      }
    }
  }

  /** Code of the gate that was decided last, null before. */
  get closedGateCode(): string | null {
    return this.#gates.decidedCode;
  }

  /** Opens the gate of a step and waits for people; call it inside of {@link Run.step}. */
  async openGate(id: StepId, request: GateRequest): Promise<'approved' | 'rejected'> {
    return this.#gates.open(request, this.#stepOf(id));
  }

  /** Shows the plan and puts it into the record; `plan` is the whole of it. */
  setPlan(view: PlanView, plan: unknown): void {
    this.view.plan = view;
    this.publish();
    this.#engine.push({ kind: 'plan', plan, hash: view.hash });
  }

  /** A line in the record; written with the next step. */
  note(text: string, data?: unknown): void {
    this.#engine.push(data === undefined ? { kind: 'note', text } : { kind: 'note', text, data });
  }

  publish(): void {
    this.#engine.publish();
  }

  /** Writes the first entry: nothing happens in a run that has no record. */
  async begin(input: unknown): Promise<void> {
    if (isPlanOnly(input)) this.notices.mute();
    const { environment, requestedBy, reason } = this.#request;
    const body: RecordEntryBody = {
      kind: 'run-started',
      runbook: this.view.runbook,
      environment,
      requestedBy,
      reason,
      input,
    };
    await this.#engine.mustRecord(body, this.view.steps[0]?.id ?? '');
    this.notices.tell({ event: 'run-started' });
  }

  /** Writes the last entry and shows the end. `must` is false when nothing depends on the record any more. */
  async end(status: RunStatus, result: unknown, must: boolean): Promise<void> {
    await condition(allHandlersFinished);
    this.attention.throwIfAborted();
    this.attention.phase = 'final';
    const body: RecordEntryBody = { kind: 'result', status, result };
    this.#engine.push(body);
    this.#recorder.close();
    if (must) await this.#writeOrPark(currentStep(this.view)?.id ?? '');
    else await this.#engine.flush();
    this.attention.phase = 'ended';
    skipPending(this.view);
    this.view.status = status;
    this.view.endedAt = nowIso();
    this.publish();
    this.notices.tell(endNotice(this.view, this.view.endedAt, this.notices.isDown));
    await this.notices.settle();
    await condition(allHandlersFinished);
  }

  async #attempt<T>(step: StepView, work: (attempt: number) => Promise<T>, options: StepOptions<T>): Promise<T> {
    const { id, title, attempts } = step;
    await this.#recordStep(step, { kind: 'step-started', step: id, title, attempt: attempts });
    this.attention.throwIfAborted();
    if (options.undo !== undefined) this.undo.register(options.undo);
    const startedAt = nowIso();
    const result = await this.attention.cancellable(() => work(attempts));
    const seconds = secondsSince(startedAt, nowIso());
    await this.#recordStep(step, { kind: 'step-done', step: id, result: result ?? null, seconds });
    endStep(step, 'done', nowIso());
    this.publish();
    return result;
  }

  async #failed<T>(step: StepView, error: unknown, options: StepOptions<T>): Promise<'retry' | 'skip'> {
    const facts = readFailure(error);
    endStep(step, 'failed', nowIso());
    this.#engine.push(stepFailed(step.id, facts));
    if (options.refusals?.includes(facts.code) === true) {
      this.view.failure = { step: step.id, code: facts.code, message: facts.message, hint: facts.hint, choices: [] };
      throw runFailure(facts.code, facts.message, { hint: facts.hint, next: facts.next, also: REFUSED });
    }
    if ((await options.leave?.(facts)) === true) {
      throw runFailure(facts.code, facts.message, { hint: facts.hint, next: facts.next, also: LEFT });
    }
    const choice = await this.attention.park(
      step.id,
      facts,
      options.whenSkipped === undefined ? ['retry'] : ['retry', 'skip'],
    );
    if (choice === 'skip') this.note(`step ${step.id} was skipped`);
    return choice;
  }

  /**
   * A change waits for its entry (invariant 9). Work on a sandbox goes on while its entry is written: it must not be slower for it,
   * and the next change, gate or end waits for all entries before it.
   */
  async #recordStep({ id }: StepView, body: RecordEntryBody): Promise<void> {
    if (this.#runbook.steps.find((row) => row.id === id)?.changes === true) {
      await this.#engine.mustRecord(body, id);
      return;
    }
    this.#engine.push(body);
    void this.#engine.flush();
  }

  #stepOf(id: string): StepView {
    const step = this.view.steps.find((one) => one.id === id);
    if (step === undefined) throw runFailure('Bug', `runbook ${this.#runbook.name} has no step ${id}`);
    return step;
  }

  #createEngine(runId: string, publish: () => void): Engine {
    return {
      view: this.view,
      runId,
      publish,
      push: (body) => {
        this.#recorder.push(body);
      },
      flush: () => this.#recorder.flush().catch(() => undefined),
      flushSoon: async () => {
        let ended = false;
        void this.#recorder
          .flush()
          .catch(() => undefined)
          .finally(() => (ended = true));
        await condition(() => ended, ANSWER_WITHIN, { summary: 'writing the record' });
      },
      mustRecord: async (body, step) => {
        this.#recorder.push(body);
        await this.#writeOrPark(step);
      },
      notices: this.notices,
      isAborted: () => this.attention.abort !== null && this.attention.phase === 'forward',
      throwIfAborted: () => {
        this.attention.throwIfAborted();
      },
    };
  }

  /** The record comes first: while it cannot be written the run stands still, and says so. */
  async #writeOrPark(step: string): Promise<void> {
    for (;;) {
      try {
        await this.#recorder.flush();
        return;
      } catch (error) {
        this.attention.throwIfAborted();
        const view = this.view.steps.find((one) => one.id === step && one.status === 'running');
        if (view !== undefined) view.status = 'failed';
        await this.attention.park(step, readFailure(error), ['retry']);
        if (view !== undefined) view.status = 'running';
      }
    }
  }
}

/** True for the input of a run that ends when it has shown its plan. */
function isPlanOnly(input: unknown): boolean {
  return typeof input === 'object' && input !== null && 'planOnly' in input && input.planOnly === true;
}

/** Marks the failure of a refused step: the run ends with it. */
const REFUSED = 'refused';

/** Marks the failure of a step that the run goes round. */
const LEFT = 'left';

/** True for the failure of a step whose `leave` said that the run goes on another way. */
export function isLeft(error: unknown): boolean {
  return error instanceof ApplicationFailure && error.details?.[1] === LEFT;
}

/** True for the failure that {@link Run.step} ends a run with. */
export function isRefusal(details: readonly unknown[] | null | undefined): boolean {
  return details?.[1] === REFUSED;
}
