/** The state of a run as people see it (`RunView`), and the few changes that the engine makes to it. No clock: times come in. */
import type { RunRequest } from './contracts/runs.js';
import type { GateView, RunStatus, RunView, StepStatus, StepView } from './contracts/status.js';
import type { DecisionOutcome } from './contracts/decisions.js';
import type { Runbook } from './runbook.js';

/** Refused decisions that a status keeps; all of them are in the record. */
const MAX_DECISIONS = 50;

/** A run that has just begun: every step pending. */
export function newRunView(runbook: Runbook, request: RunRequest, run: string, runId: string, at: string): RunView {
  return {
    run,
    runId,
    environment: request.environment,
    runbook: runbook.name,
    requestedBy: request.requestedBy,
    reason: request.reason,
    status: 'running',
    startedAt: at,
    endedAt: null,
    steps: runbook.steps.map((step) => ({
      id: step.id,
      title: step.title,
      status: 'pending',
      startedAt: null,
      endedAt: null,
      attempts: 0,
    })),
    plan: null,
    gate: null,
    decisions: [],
    sandbox: null,
    measured: {},
    failure: null,
    child: null,
  };
}

/** The step that the run is at: the one that runs, waits or failed; else the last one that ended, else the first. */
export function currentStep(view: RunView): StepView | null {
  const active = view.steps.find((step) => ['running', 'waiting', 'failed'].includes(step.status));
  return active ?? view.steps.findLast((step) => step.status !== 'pending') ?? view.steps[0] ?? null;
}

/** "7 of 8"; null when the run has no such step. */
export function positionOf(view: RunView, stepId: string): string | null {
  const index = view.steps.findIndex((step) => step.id === stepId);
  return index < 0 ? null : `${index + 1} of ${view.steps.length}`;
}

/** A step begins (again). */
export function beginStep(step: StepView, at: string): void {
  step.status = 'running';
  step.startedAt ??= at;
  step.endedAt = null;
  step.attempts += 1;
}

/** A step ends in one way or another. */
export function endStep(step: StepView, status: StepStatus, at: string): void {
  step.status = status;
  step.endedAt = status === 'failed' ? null : at;
}

/** Steps that will not happen in this run. */
export function skipPending(view: RunView): void {
  for (const step of view.steps) if (step.status === 'pending') step.status = 'skipped';
}

/** Adds a decision to the open gate, or to the run when that gate is not open. */
export function noteDecision(view: RunView, outcome: DecisionOutcome): void {
  const list = view.gate?.name === outcome.gate ? view.gate.decisions : view.decisions;
  list.push(outcome);
  if (list.length <= MAX_DECISIONS) return;
  const oldestRefused = list.findIndex((one) => !one.counted);
  list.splice(oldestRefused < 0 ? 0 : oldestRefused, 1);
}

/** A gate opens, with the decisions of an earlier opening kept as past ones. */
export function openGate(view: RunView, gate: GateView): void {
  closeGate(view);
  view.gate = gate;
}

/** A gate closes: its decisions stay with the run. */
export function closeGate(view: RunView): void {
  if (view.gate === null) return;
  view.decisions.push(...view.gate.decisions);
  view.gate = null;
}

/** True when nothing more will happen in a run with this status. */
export function hasEnded(status: RunStatus): boolean {
  return status === 'completed' || status === 'rejected' || status === 'aborted' || status === 'failed';
}
