/** What an abort puts back, last change first. Registered before the change, so a change that failed half way is covered too. */
import type { StepView } from '../../shared/contracts/status.js';
import type { Attention } from './attention.js';
import { nowIso } from './clock.js';
import { stepFailed, type Engine } from './engine.js';
import { readFailure } from './failures.js';

/** `step` is the id that the runbook's table names; `work` must do nothing where there is nothing to put back. */
export type Undo = { step: string; title: string; work: () => Promise<unknown> };

export class UndoStack {
  readonly #engine: Engine;
  readonly #attention: Attention;
  readonly #stack: Undo[] = [];

  constructor(engine: Engine, attention: Attention) {
    this.#engine = engine;
    this.#attention = attention;
  }

  /** A step that is tried again registers the same undo once. */
  register(undo: Undo): void {
    if (!this.#stack.some((one) => one.step === undo.step)) this.#stack.push(undo);
  }

  /** The change is somebody else's to put back from now on. */
  forget(step: string): void {
    const index = this.#stack.findIndex((one) => one.step === step);
    if (index >= 0) this.#stack.splice(index, 1);
  }

  get isEmpty(): boolean {
    return this.#stack.length === 0;
  }

  /** Puts everything back. An undo that fails parks; skipping it leaves its change as it is. Says which were skipped. */
  async run(): Promise<string[]> {
    const skipped: string[] = [];
    for (let undo = this.#stack.pop(); undo !== undefined; undo = this.#stack.pop()) {
      if ((await this.#undo(undo)) === 'skip') skipped.push(undo.step);
    }
    return skipped;
  }

  async #undo(undo: Undo): Promise<'done' | 'skip'> {
    const { step, title } = undo;
    const line: StepView = { id: step, title, status: 'running', startedAt: nowIso(), endedAt: null, attempts: 0 };
    (this.#engine.view.undo ??= []).push(line);
    this.#engine.publish();
    await this.#engine.mustRecord({ kind: 'undo-started', step, title }, step);
    for (;;) {
      line.attempts += 1;
      line.status = 'running';
      try {
        const result = (await undo.work()) ?? null;
        await this.#engine.mustRecord({ kind: 'undo-done', step, result }, step);
        line.status = 'done';
        line.endedAt = nowIso();
        return 'done';
      } catch (error) {
        const facts = readFailure(error);
        line.status = 'failed';
        this.#engine.push({ kind: 'undo-failed', step, message: `${facts.code}: ${facts.message}` });
        this.#engine.push(stepFailed(step, facts));
        if ((await this.#attention.park(step, facts, ['retry', 'skip'])) === 'retry') continue;
        line.status = 'skipped';
        return 'skip';
      }
    }
  }
}
