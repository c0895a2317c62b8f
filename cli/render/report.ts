/**
 * The report of a run for people who were not there: written from the record only, so that it says the same next year. Every text
 * from outside is escaped. Pure.
 */
import { shortRunId } from '../../shared/ids.js';
import type { RecoveryResult } from '../../shared/contracts/sandbox.js';
import type { RecordEntry } from '../../shared/contracts/record.js';
import { codeSpan } from '../../shared/markdown.js';
import { bodiesOf, dumpResultOf, measuredOf, recoveryResultOf, viewFromRecord } from '../record-view.js';
import { describeEntry } from './entry.js';
import { plainText, table } from './markdown.js';
import { followUps, keptCopies, lostLines } from './report-aftermath.js';
import { flipNotes, flipResultOf } from './report-change.js';
import { measuredText } from './run.js';
import { formatDuration, formatTime, secondsBetweenIso } from './text.js';

/** Longest diff of row counts that a report lists; the record has all. */
const MAX_COUNTS = 20;

/**
 * @param entries the record of the run
 * @param change the record of the promotion that it ended with, null when there was none
 */
export function renderReport(entries: readonly RecordEntry[], change: readonly RecordEntry[] | null): string {
  const view = viewFromRecord(entries);
  if (view === null) return '# A record that does not begin with the start of a run\n\nrun `pgr audit verify`\n';
  const all = change === null ? [entries] : [entries, change];
  const sections = [
    heading(entries),
    section('Summary', summary(entries, change)),
    section('What was lost', lostLines(entries, change)),
    section('Plan', planLines(entries)),
    section('Timeline (UTC)', timeline(all)),
    section('Evidence', evidence(entries)),
    section('Rows, sandbox against production', rowCounts(entries)),
    section('Approvals', approvals(all)),
    section('Safety copies', keptCopies(entries, change)),
    section('What to do next', followUps(entries, change)),
    section('The record', recordLines(all)),
  ];
  return `${sections.join('\n\n')}\n`;
}

function section(title: string, lines: readonly string[]): string {
  return `## ${title}\n\n${lines.length === 0 ? 'Nothing.' : lines.join('\n')}`;
}

function heading(entries: readonly RecordEntry[]): string {
  const view = viewFromRecord(entries);
  if (view === null) return '# Report';
  const target = view.plan?.target;
  const to = target === undefined ? '' : ` to ${plainText(target.value ?? target.kind)}`;
  return `# ${plainText(view.runbook)} of ${plainText(view.environment)}${to}: ${view.status}`;
}

function summary(entries: readonly RecordEntry[], change: readonly RecordEntry[] | null): string[] {
  const view = viewFromRecord(entries);
  if (view === null) return [];
  const result = bodiesOf(entries, 'result').at(-1)?.result;
  const changed = change === null ? {} : measuredOf(bodiesOf(change, 'result').at(-1)?.result);
  const measured = { ...measuredOf(result), ...changed };
  const seconds = secondsBetweenIso(view.startedAt, view.endedAt);
  const rows: [string, string][] = [
    ['Run', view.run],
    ['Environment', view.environment],
    ['Asked for by', view.requestedBy],
    ['Why', view.reason === '' ? 'no reason given' : view.reason],
    ['Started', formatTime(view.startedAt)],
    ['Ended', view.endedAt === null ? 'not yet' : `${formatTime(view.endedAt)} (${formatDuration(seconds ?? 0)})`],
    ['Outcome', view.status],
    ['Measured', measuredText(measured) ?? 'nothing'],
    ['RTO', seconds === null ? 'not reached' : durationOr(measured.rtoSeconds, 'not measured')],
    ['RPO', durationOr(measured.rpoSeconds, 'not measured')],
  ];
  if (view.failure !== null) rows.push(['Last failure', `${view.failure.step}: ${view.failure.message}`]);
  const flip = flipResultOf(result);
  return [table(['', ''], rows), ...(flip === null ? [] : ['', ...flipNotes(flip)])];
}

function durationOr(seconds: number | undefined, otherwise: string): string {
  return seconds === undefined ? otherwise : formatDuration(seconds);
}

function planLines(entries: readonly RecordEntry[]): string[] {
  const plan = viewFromRecord(entries)?.plan;
  if (plan === null || plan === undefined) return ['No plan was made.'];
  return [...plan.summary.map((line) => `- ${plainText(line)}`), `- plan hash ${codeSpan(plan.hash)}`];
}

function timeline(records: readonly (readonly RecordEntry[])[]): string[] {
  const entries = records.flat().sort((a, b) => (a.at < b.at ? -1 : 1));
  const several = records.length > 1;
  const rows = entries
    .filter(({ body }) => body.kind !== 'gate-reminder')
    .map(({ at, run, body }) => [formatTime(at), ...(several ? [run] : []), body.kind, describeEntry(body)]);
  return [table(['Time', ...(several ? ['Run'] : []), 'Entry', 'What'], rows)];
}

function evidence(entries: readonly RecordEntry[]): string[] {
  const result = restoredOf(entries);
  const shown = bodiesOf(entries, 'gate-opened').at(-1)?.evidence;
  const checks = result?.evidence ?? (Array.isArray(shown) ? (shown as NonNullable<typeof result>['evidence']) : []);
  if (checks.length === 0) return ['No evidence was gathered.'];
  const rows = checks.map(({ check, expected, actual, ok, note }) => [
    ok ? 'ok' : 'NOT OK',
    check,
    expected,
    note === undefined ? actual : `${actual} (${note})`,
  ]);
  return [table(['', 'Check', 'Expected', 'Found'], rows)];
}

/** What a run that filled a sandbox left of evidence and counts. */
function restoredOf(entries: readonly RecordEntry[]): Pick<RecoveryResult, 'evidence' | 'counts'> | null {
  const result = bodiesOf(entries, 'result').at(-1)?.result;
  return recoveryResultOf(result) ?? dumpResultOf(result);
}

function rowCounts(entries: readonly RecordEntry[]): string[] {
  const counts = restoredOf(entries)?.counts ?? [];
  if (counts.length === 0) return ['Rows were not counted.'];
  const rows = counts
    .slice(0, MAX_COUNTS)
    .map(({ table, sandbox, production }) => [
      table,
      String(sandbox),
      production === null ? 'unknown' : String(production),
      production === null ? 'unknown' : String(sandbox - production),
    ]);
  return [table(['Table', 'Sandbox', 'Production', 'Difference'], rows)];
}

function approvals(records: readonly (readonly RecordEntry[])[]): string[] {
  const decisions = records.flat().flatMap(({ at, body }) => (body.kind === 'decision' ? [{ at, body }] : []));
  if (decisions.length === 0) return ['Nobody was asked.'];
  const rows = decisions.map(({ at, body }) => [
    formatTime(at),
    body.gate,
    body.decision,
    body.by,
    `${body.identity}, by ${body.entry}`,
    body.counted ? 'counted' : `refused: ${body.why ?? 'no reason given'}`,
    body.comment,
  ]);
  return [table(['Time', 'Gate', 'Decision', 'By', 'Identity', 'Outcome', 'Comment'], rows)];
}

function recordLines(records: readonly (readonly RecordEntry[])[]): string[] {
  return records.flatMap((entries) => {
    const last = entries.at(-1);
    if (last === undefined) return [];
    const name = `${last.run}@${shortRunId(last.runId)}`;
    return [
      `- ${codeSpan(name)}: ${String(entries.length)} entries, last hash ${codeSpan(last.hash)}; verify with ${codeSpan(`pgr audit verify ${name}`)}`,
    ];
  });
}
