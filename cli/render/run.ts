/** A run as text: `pgr show`, the end of `--wait`, and the parts of the live view. Pure. */
import type { EvidenceCheck } from '../../shared/contracts/sandbox.js';
import type { GateView, RunView, StepProgress, StepView } from '../../shared/contracts/status.js';
import type { RunFamily } from '../runs.js';
import type { Style } from './style.js';
import { renderPairs } from './table.js';
import {
  count,
  formatBytes,
  formatDuration,
  formatMilliseconds,
  formatTime,
  oneLine,
  relativeTo,
  secondsBetweenIso,
  shellWord,
  truncate,
  wrap,
} from './text.js';

export type RunRendering = { style: Style; now: Date; columns: number; ui: string | null };

/** The whole run. */
export function renderRun(family: RunFamily, options: RunRendering): string {
  const { view, child } = family;
  const sections = [
    renderHead(view, options),
    section('steps', [...stepLines(view, options), ...childLines(child, options)], options),
    section(
      'put back',
      (view.undo ?? []).map((step) => stepLine(step, options)),
      options,
    ),
    section(
      'plan',
      (view.plan?.summary ?? []).flatMap((line) => wrap(line, options.columns - 2, '    ').map((part) => `  ${part}`)),
      options,
    ),
    section('evidence', evidenceLines(view.gate?.evidence ?? view.evidence ?? [], options), options),
    section('decisions', decisionLines(view), options),
    section(
      'next',
      (view.next ?? []).map((line) => `  ${line}`),
      options,
    ),
    ...[view, child].flatMap((one) => (one === null ? [] : [attentionBlock(one, options)])),
  ];
  return sections.filter((text) => text !== '').join('\n');
}

function section(title: string, lines: readonly string[], { style }: RunRendering): string {
  return lines.length === 0 ? '' : `${style.bold(title)}\n${lines.join('\n')}\n`;
}

function renderHead(view: RunView, { now, ui }: RunRendering): string {
  const ended = view.endedAt === null ? null : `${formatTime(view.endedAt)} ${relativeTo(view.endedAt, now)}`;
  const sandbox = view.sandbox;
  return renderPairs([
    ['run', view.run],
    ['runbook', `${view.runbook} on environment ${view.environment}`],
    ['status', view.status],
    ['asked for by', `${view.requestedBy}${view.reason === '' ? '' : `: ${view.reason}`}`],
    ['started', `${formatTime(view.startedAt)} ${relativeTo(view.startedAt, now)}`],
    ['ended', ended],
    ['target', view.plan?.target === undefined ? null : targetText(view.plan.target)],
    ['sandbox', sandbox === null ? null : `${sandbox.url} on ${sandbox.host}, ${sandbox.state}`],
    [
      'kept until',
      sandbox === null || sandbox.expiresAt === null
        ? null
        : `${formatTime(sandbox.expiresAt)} ${relativeTo(sandbox.expiresAt, now)}`,
    ],
    ['measured', measuredText(view.measured)],
    ['change', view.child],
    ['ui', ui],
  ]);
}

function targetText({ kind, value }: { kind: string; value?: string }): string {
  if (value === undefined) return kind;
  return kind === 'time' ? value : `${kind}:${value}`;
}

/** `restore 41 s, replay 12 s, RTO 1 min 2 s, RPO 3 s, writes were down 145 ms`; null when nothing was measured. */
export function measuredText(measured: RunView['measured']): string | null {
  const parts = [
    part('restore', measured.restoreSeconds),
    part('replay', measured.replaySeconds),
    part('RTO', measured.rtoSeconds),
    part('RPO', measured.rpoSeconds),
    part('rebuild', measured.rebuildSeconds),
    measured.writeOutageMs === undefined ? null : `writes were down ${formatMilliseconds(measured.writeOutageMs)}`,
  ].filter((text) => text !== null);
  return parts.length === 0 ? null : parts.join(', ');
}

function part(name: string, seconds: number | undefined): string | null {
  return seconds === undefined ? null : `${name} ${formatDuration(seconds)}`;
}

/** One line a step, and under the one that runs its bar. */
export function stepLines(view: RunView, options: RunRendering): string[] {
  return view.steps.flatMap((step) => {
    const progress = step.status === 'running' ? step.progress : undefined;
    return [stepLine(step, options), ...(progress === undefined ? [] : [progressLine(progress, options)])];
  });
}

function childLines(child: RunView | null, options: RunRendering): string[] {
  if (child === null) return [];
  const inner = stepLines(child, { ...options, columns: options.columns - 3 });
  return [`   ${options.style.dim(child.run)}`, ...inner.map((line) => `   ${line}`)];
}

/** ` ✓ Fetch the base and the WAL                    12 s`, cut to the width. */
export function stepLine(step: StepView, { style, now, columns }: RunRendering): string {
  const seconds = secondsBetweenIso(
    step.startedAt,
    step.endedAt ?? (step.status === 'running' ? now.toISOString() : null),
  );
  const attempts = step.attempts > 1 ? ` (attempt ${String(step.attempts)})` : '';
  const right = `${seconds === null ? '' : formatDuration(seconds)}${attempts}`;
  const width = Math.max(20, Math.min(columns, 100) - 4 - right.length);
  const title = truncate(oneLine(step.title), width).padEnd(width);
  const text = `${title} ${right}`.trimEnd();
  return ` ${style.mark(step.status)} ${step.status === 'pending' || step.status === 'skipped' ? style.dim(text) : text}`;
}

/** `   ██████░░░░  612 MB of 1.1 GB  55 %  145 MB/s  ETA 4 s`. */
export function progressLine(progress: StepProgress, { style, columns }: RunRendering): string {
  const { done, total, ratePerSecond, etaSeconds, note } = progress;
  const share = total > 0 ? Math.min(1, done / total) : null;
  const facts = [
    total > 0 ? `${formatBytes(done)} of ${formatBytes(total)}` : formatBytes(done),
    share === null ? '' : `${String(Math.floor(share * 100))} %`,
    ratePerSecond > 0 ? `${formatBytes(ratePerSecond)}/s` : '',
    etaSeconds === null ? '' : `ETA ${formatDuration(etaSeconds)}`,
    note === undefined ? '' : oneLine(note),
  ].filter((text) => text !== '');
  const width = share === null ? 0 : 16;
  const bar = share === null ? '' : `${renderBar(share, width, style)}  `;
  return `   ${bar}${truncate(facts.join('  '), Math.max(20, columns - 5 - width))}`;
}

function renderBar(share: number, width: number, { bar: [full, empty] }: Style): string {
  const filled = Math.round(share * width);
  return full.repeat(filled) + empty.repeat(width - filled);
}

/** Checks, those that failed first: they are what the decision hangs on. */
export function evidenceLines(evidence: readonly EvidenceCheck[], { style, columns }: RunRendering): string[] {
  const ordered = [...evidence].sort((a, b) => Number(a.ok) - Number(b.ok));
  return ordered.flatMap(({ check, expected, actual, ok, note }) => {
    const says = ok ? oneLine(actual) : `${oneLine(actual)}; expected ${oneLine(expected)}`;
    const text = `${oneLine(check)}: ${says}${note === undefined ? '' : ` (${oneLine(note)})`}`;
    // What does not hold is shown whole: it is what the decision hangs on.
    const [first = '', ...rest] = ok ? [truncate(text, Math.max(40, columns - 4))] : wrap(text, columns - 4, '  ');
    return [` ${style.check(ok)} ${first}`, ...rest.map((line) => `   ${line}`)];
  });
}

function decisionLines(view: RunView): string[] {
  const decisions = [...view.decisions, ...(view.gate?.decisions ?? [])];
  return decisions.map(({ gate, decision, by, identity, counted, why }) => {
    const outcome = counted ? 'counted' : `refused: ${why ?? 'no reason given'}`;
    return oneLine(`  ${decision} of ${gate} by ${by} (${identity}), ${outcome}`).replace(/^/, '  ');
  });
}

/** What a person has to do now: an open gate, or a failure with its choices. Empty when there is nothing to do. */
export function attentionBlock(view: RunView, options: RunRendering): string {
  if (view.gate !== null && view.status === 'waiting-approval') return gateBlock(view, view.gate, options);
  return view.failure === null ? '' : failureBlock(view, options);
}

function gateBlock(view: RunView, gate: GateView, { style, now, ui, columns }: RunRendering): string {
  const approvals = gate.decisions.filter(({ counted, decision }) => counted && decision === 'approve').length;
  const need = `${String(approvals)} of ${count(gate.required, 'approval')}`;
  const command = `${shellWord(view.run)} ${gate.name} --code ${gate.code}`;
  return [
    style.warn(style.bold(`waiting for approval of gate ${gate.name}`)),
    ...statementLines(gate, columns).map((line) => style.bold(line)),
    `  ${need}; expires ${formatTime(gate.expiresAt)} ${relativeTo(gate.expiresAt, now)}`,
    `  approve:  pgr approve ${command}`,
    `  reject:   pgr reject ${command}`,
    ...(ui === null
      ? []
      : [`  in the ui: ${ui}`, `             More Actions, Send a Signal, approve; see User Metadata`]),
    '',
  ].join('\n');
}

/** What nobody but a person can know stands above the command with which they say it. */
function statementLines({ statement }: GateView, columns: number): string[] {
  if (statement === undefined) return [];
  return wrap(`whoever approves states: ${statement}`, columns - 2, '  ').map((line) => `  ${line}`);
}

function failureBlock(view: RunView, { style }: RunRendering): string {
  const { failure } = view;
  if (failure === null) return '';
  const flags = { retry: '', skip: ' --reason TEXT', abort: ' --reason TEXT' };
  const choices = failure.choices.map((choice) => `next: pgr ${choice} ${shellWord(view.run)}${flags[choice]}`);
  return [
    style.bad(style.bold(`step ${failure.step} failed: ${failure.code}`)),
    `error: ${failure.message}`,
    `hint: ${failure.hint}`,
    ...choices,
    '',
  ].join('\n');
}
