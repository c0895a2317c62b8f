/** One line for every change between two looks at a run: for logs, pipes and screen readers. Pure. */
import type { RunView, StepView } from '../../shared/contracts/status.js';
import type { RunFamily } from '../runs.js';
import { formatBytes, formatDuration, formatTime, oneLine, secondsBetweenIso, shellWord } from './text.js';

/** Progress is told each time another tenth is done. */
const PROGRESS_SHARES = 10;

/** Lines to print now; `before` is null at the first look. */
export function changeLines(before: RunFamily | null, after: RunFamily, now: Date): string[] {
  const stamp = formatTime(now.toISOString());
  const lines = [
    ...viewLines(before?.view ?? null, after.view),
    ...(after.child === null ? [] : viewLines(before?.child ?? null, after.child)),
  ];
  return lines.map((line) => `${stamp} ${line}`);
}

function viewLines(before: RunView | null, after: RunView): string[] {
  return [
    ...after.steps.flatMap((step) => stepLinesOf(before, after, step.id)),
    ...gateLines(before, after),
    ...failureLines(before, after),
    ...(before?.status === after.status ? [] : [`${after.run}: ${after.status}`]),
  ];
}

function stepLinesOf(before: RunView | null, after: RunView, id: string): string[] {
  const was = before?.steps.find((step) => step.id === id);
  const step = after.steps.find((candidate) => candidate.id === id);
  if (step === undefined || step.status === 'pending') return [];
  if (step.status === was?.status) return progressLinesOf(was, step);
  const seconds = secondsBetweenIso(step.startedAt, step.endedAt);
  const time = step.status === 'done' && seconds !== null ? ` in ${formatDuration(seconds)}` : '';
  return [`${step.id}: ${step.status}${time}`];
}

function progressLinesOf(was: StepView, { id, progress }: StepView): string[] {
  if (progress === undefined || progress.total <= 0) return [];
  const share = (done: number): number => Math.floor((done / progress.total) * PROGRESS_SHARES);
  if (was.progress !== undefined && share(was.progress.done) === share(progress.done)) return [];
  const rate = progress.ratePerSecond > 0 ? `, ${formatBytes(progress.ratePerSecond)}/s` : '';
  const eta = progress.etaSeconds === null ? '' : `, ETA ${formatDuration(progress.etaSeconds)}`;
  return [`${id}: ${formatBytes(progress.done)} of ${formatBytes(progress.total)}${rate}${eta}`];
}

function gateLines(before: RunView | null, after: RunView): string[] {
  const { gate } = after;
  if (gate === null || after.status !== 'waiting-approval' || gate.code === before?.gate?.code) return [];
  return [
    `gate ${gate.name} is open until ${formatTime(gate.expiresAt)}; to approve:`,
    ...(gate.statement === undefined ? [] : [`  (stating: ${oneLine(gate.statement)})`]),
    `  pgr approve ${shellWord(after.run)} ${gate.name} --code ${gate.code}`,
  ];
}

function failureLines(before: RunView | null, after: RunView): string[] {
  const { failure } = after;
  if (failure === null || failure.message === before?.failure?.message) return [];
  return [`${failure.step}: ${failure.code}: ${oneLine(failure.message)}`, `hint: ${oneLine(failure.hint)}`];
}
