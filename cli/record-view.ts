/** A run as its record tells it, for when Temporal has forgotten it. Pure. */
import type { RecordEntry, RecordEntryBody } from '../shared/contracts/record.js';
import type { PlanView, RunStatus, RunView, StepView } from '../shared/contracts/status.js';
import type { RecoveryPlan } from '../shared/contracts/plan.js';
import type { DumpPromotionPlan, PromotionPlan, UndoPlan } from '../shared/contracts/promotion.js';
import type { PromoteDumpInput, PromoteInput } from '../shared/contracts/runs.js';
import type { RecoveryResult } from '../shared/contracts/sandbox.js';
import { ALL_RUNBOOKS } from '../shared/all-runbooks.js';
import {
  flipPlanView,
  prunePlanView,
  rebuildPlanView,
  undoRebuildPlanView,
  type PrunePlan,
  type UndoRebuildPlan,
} from '../shared/run-state-change.js';
import { promotionPlanView, recoveryPlanView, undoPlanView } from '../shared/run-state-plan.js';
import { devPlanView } from '../shared/run-state-dev.js';
import type { DevPlan } from '../shared/contracts/dev.js';
import { controllerPlanView } from '../shared/run-state-controller.js';
import type { ControllerPlan } from '../shared/contracts/controller.js';
import { dumpPlanView, dumpPromotionPlanView } from '../shared/run-state-dump.js';
import type { DumpPlan, DumpResult } from '../shared/contracts/dump.js';
import type { FlipPlan } from '../shared/contracts/flip.js';
import type { RebuildPlan } from '../shared/contracts/rebuild.js';

const STATUSES = ['running', 'waiting-approval', 'needs-attention', 'completed', 'rejected', 'aborted', 'failed'];

type BodyOf<K extends RecordEntryBody['kind']> = Extract<RecordEntryBody, { kind: K }>;

/** All entries of a kind, in order. */
export function bodiesOf<K extends RecordEntryBody['kind']>(entries: readonly RecordEntry[], kind: K): BodyOf<K>[] {
  return entries.flatMap(({ body }) => (body.kind === kind ? [body as BodyOf<K>] : []));
}

/** The view that `pgr show` prints; null when the entries do not begin with the start of a run. */
export function viewFromRecord(entries: readonly RecordEntry[]): RunView | null {
  const [first] = entries;
  if (first?.body.kind !== 'run-started') return null;
  const result = bodiesOf(entries, 'result').at(-1);
  return {
    run: first.run,
    runId: first.runId,
    environment: first.body.environment,
    runbook: first.body.runbook,
    requestedBy: first.body.requestedBy,
    reason: first.body.reason,
    status: statusOf(entries, result),
    startedAt: first.at,
    endedAt: result === undefined ? null : (entries.at(-1)?.at ?? null),
    steps: stepsFromRecord(first.body.runbook, entries),
    plan: planOf(first.body.runbook, first.body.input, entries),
    gate: null,
    decisions: bodiesOf(entries, 'decision').map(({ gate, decision, by, identity, counted, why }) => ({
      gate,
      decision,
      by,
      identity,
      counted,
      why,
      approvals: 0,
      required: 0,
    })),
    measured: measuredOf(result?.result),
    failure: failureOf(entries, result),
    ...leftBy(result?.result),
    child: promotionRunOf(result?.result)?.run ?? null,
  };
}

function statusOf(entries: readonly RecordEntry[], result: BodyOf<'result'> | undefined): RunStatus {
  if (result !== undefined) return STATUSES.includes(result.status) ? (result.status as RunStatus) : 'failed';
  const last = entries.findLast(({ body }) => body.kind !== 'note' && body.kind !== 'gate-reminder')?.body.kind;
  if (last === 'gate-opened') return 'waiting-approval';
  return last === 'step-failed' || last === 'gate-expired' ? 'needs-attention' : 'running';
}

/** Every step of the runbook's table with what the entries say of it; unknown steps of older tables come behind. */
function stepsFromRecord(runbook: string, entries: readonly RecordEntry[]): StepView[] {
  const table = ALL_RUNBOOKS.find(({ name }) => name === runbook)?.steps ?? [];
  const steps = new Map<string, StepView>(table.map(({ id, title }) => [id, pending(id, title)]));
  for (const entry of entries) applyEntry(steps, entry);
  return [...steps.values()];
}

const ENDED_AS = { 'step-done': 'done', 'step-skipped': 'skipped', 'step-failed': 'failed' } as const;

function applyEntry(steps: Map<string, StepView>, { at, body }: RecordEntry): void {
  if (body.kind === 'step-started') {
    const step = steps.get(body.step) ?? pending(body.step, body.title);
    const attempts = Math.max(step.attempts, body.attempt);
    steps.set(body.step, { ...step, status: 'running', startedAt: step.startedAt ?? at, attempts });
  }
  if (body.kind === 'step-done' || body.kind === 'step-skipped' || body.kind === 'step-failed') {
    const step = steps.get(body.step) ?? pending(body.step, body.step);
    steps.set(body.step, { ...step, status: ENDED_AS[body.kind], endedAt: at });
  }
}

function pending(id: string, title: string): StepView {
  return { id, title, status: 'pending', startedAt: null, endedAt: null, attempts: 0 };
}

/** The record holds the whole plan; people are shown its summary, by the same functions that showed it then. */
function planOf(runbook: string, input: unknown, entries: readonly RecordEntry[]): PlanView | null {
  const entry = bodiesOf(entries, 'plan').at(-1);
  if (entry === undefined) return null;
  const summaryOnly = { hash: entry.hash, summary: [] };
  try {
    return planViewOf(runbook, entry.plan, input) ?? summaryOnly;
  } catch {
    return summaryOnly; // a plan too large for the history is in the record as its size and hash only
  }
}

function planViewOf(runbook: string, plan: unknown, input: unknown): PlanView | null {
  switch (runbook) {
    case 'pitr':
      return recoveryPlanView(plan as RecoveryPlan);
    case 'restore-dump':
      return dumpPlanView(plan as DumpPlan);
    case 'restore-dev':
      return devPlanView(plan as DevPlan);
    case 'restore-controller':
      return controllerPlanView(plan as ControllerPlan);
    case 'promote':
      return promotionPlanView(plan as PromotionPlan, (input as PromoteInput).recovery);
    case 'dump-promotion':
      return dumpPromotionPlanView(plan as DumpPromotionPlan, (input as PromoteDumpInput).dump);
    case 'undo':
      return undoPlanView(plan as UndoPlan);
    case 'flip-db':
      return flipPlanView(plan as FlipPlan);
    case 'rebuild-standby':
      return rebuildPlanView(plan as RebuildPlan);
    case 'undo-rebuild':
      return undoRebuildPlanView(plan as UndoRebuildPlan);
    case 'prune-snapshots':
      return prunePlanView(plan as PrunePlan);
    default:
      return null;
  }
}

/** The result of a pitr run, null for anything else. */
export function recoveryResultOf(result: unknown): RecoveryResult | null {
  return hasSandbox(result) && !('commands' in result) ? (result as RecoveryResult) : null;
}

/** The result of a restore-dump run, null for anything else. */
export function dumpResultOf(result: unknown): DumpResult | null {
  return hasSandbox(result) && 'commands' in result ? (result as DumpResult) : null;
}

/** The run that made the sandbox of a run production; null when none did. */
export function promotionRunOf(result: unknown): { run: string; runId: string } | null {
  return recoveryResultOf(result)?.promotion ?? dumpResultOf(result)?.promotion ?? null;
}

function hasSandbox(result: unknown): result is object {
  return typeof result === 'object' && result !== null && 'ref' in result && 'sandbox' in result;
}

function sandboxOf(recovery: RecoveryResult | DumpResult | null): RunView['sandbox'] {
  if (recovery === null) return null;
  const { host } = recovery.ref;
  const { port, url, expiresAt } = recovery.sandbox;
  const state = recovery.outcome === 'kept' ? 'unknown' : recovery.outcome;
  return { host, port, url, state, expiresAt };
}

/** The sandbox that a run left, and commands for a person. */
function leftBy(result: unknown): Pick<RunView, 'sandbox' | 'next'> {
  const dump = dumpResultOf(result);
  return dump === null
    ? { sandbox: sandboxOf(recoveryResultOf(result)) }
    : { sandbox: sandboxOf(dump), next: dump.commands };
}

/** The measured times that a result carries. */
export function measuredOf(result: unknown): RunView['measured'] {
  if (typeof result !== 'object' || result === null || !('measured' in result)) return {};
  const measured = result.measured;
  return typeof measured === 'object' && measured !== null ? measured : {};
}

function failureOf(entries: readonly RecordEntry[], result: BodyOf<'result'> | undefined): RunView['failure'] {
  if (result !== undefined && result.status === 'completed') return null;
  const failed = bodiesOf(entries, 'step-failed').at(-1);
  if (failed === undefined) return null;
  const { step, code, message, details } = failed;
  return { step, code, message, hint: details.hint, choices: [] };
}
