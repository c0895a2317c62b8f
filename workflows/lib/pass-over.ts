import type { Run } from './run.js';

/** A step that this run does not need: shown as skipped, with the reason in the record. */
export function passOver<Id extends string>(run: Run<Id>, id: Id, why: string): void {
  const step = run.view.steps.find((one) => one.id === id);
  if (step !== undefined) step.status = 'skipped';
  run.note(`step ${id} is not needed: ${why}`);
  run.publish();
}

/** A step that cannot come up in this environment: shown as skipped with whatever is shown next, and no line in the record. */
export function leaveOut<Id extends string>(run: Run<Id>, id: Id): void {
  const step = run.view.steps.find((one) => one.id === id);
  if (step !== undefined) step.status = 'skipped';
}
