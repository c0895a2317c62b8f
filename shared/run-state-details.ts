/**
 * The page of a run in the Temporal Web UI (current details, Markdown): where it is, what to do now and how, evidence, plan, steps.
 * The UI carries this text in a URL, so it is kept short; the record has everything.
 */
import type { DecisionOutcome } from './contracts/decisions.js';
import type { RunView, StepStatus, StepView } from './contracts/status.js';
import { codeBlock, codeSpan, escapeMarkdown, proseWithCode } from './markdown.js';
import { currentStep, positionOf } from './run-state.js';

const MAX_EVIDENCE_ROWS = 40;
const MAX_PLAN_LINES = 30;
const MAX_DECISION_LINES = 10;
/** Enough to compare by eye; the record has the whole hash. */
const SHOWN_HASH = 12;

const STATUS_TEXT: Record<RunView['status'], string> = {
  running: 'running',
  'waiting-approval': 'waiting for approval',
  'needs-attention': 'needs attention',
  completed: 'completed',
  rejected: 'rejected',
  aborted: 'aborted',
  failed: 'failed',
};

const STEP_MARK: Record<StepStatus, string> = {
  done: '✓',
  running: '▸',
  waiting: '◦',
  skipped: '–',
  failed: '✗',
  pending: '·',
};

/**
 * Current details of a run. `title` is the title of its runbook. The UI shows this in a column of about 55 characters, does not scroll
 * code sideways, gives table cells no space between them and doubles the space around paragraphs: so lists, and short lines of code.
 */
export function runDetails(view: RunView, title: string): string {
  return [
    `## ${title} of ${codeSpan(view.environment)}: ${STATUS_TEXT[view.status]}`,
    whereItIs(view),
    ...failureSection(view),
    ...gateSection(view),
    ...decisionSection(view),
    ...evidenceSection(view),
    ...planSection(view),
    ...sandboxSection(view),
    ...stepSection(view),
  ].join('\n\n');
}

function whereItIs(view: RunView): string {
  const step = currentStep(view);
  const position = step === null ? null : positionOf(view, step.id);
  return list([
    `run ${codeSpan(view.run)}`,
    ...(step === null || position === null ? [] : [`**step ${position}**: ${escapeMarkdown(step.title)}`]),
    `asked by ${escapeMarkdown(view.requestedBy)}: ${escapeMarkdown(view.reason)}`,
    ...(view.child === null
      ? []
      : [`the change itself is run ${codeSpan(view.child)}: open that one (tab Relationships)`]),
  ]);
}

function failureSection(view: RunView): string[] {
  const { failure } = view;
  if (failure === null) return [];
  const told = [
    `step ${codeSpan(failure.step)} failed: **${escapeMarkdown(failure.code)}**, ${proseWithCode(failure.message)}`,
    `hint: ${proseWithCode(failure.hint)}`,
  ];
  if (failure.choices.length === 0) return ['### Why it ended', list(told)];
  const commands = failure.choices.map((choice) => {
    const reason = choice === 'retry' ? '' : ' --reason "WHY"';
    return `${choice}: ${codeSpan(`pgr ${choice} ${view.run}${reason}`)}`;
  });
  return [
    `### What to do now: ${failure.choices.join(' or ')}`,
    list([...told, ...commands]),
    `Or here: More Actions → Send an Update → ${failure.choices.map(codeSpan).join(' or ')}, Data:`,
    codeBlock('json', jsonToPaste({ by: 'YOUR NAME', reason: 'WHY' })),
  ];
}

function gateSection(view: RunView): string[] {
  const { gate } = view;
  if (gate === null || gate.expired) return [];
  const counted = gate.decisions.filter((one) => one.counted && one.decision === 'approve').length;
  return [
    `### What to do now: decide at gate ${codeSpan(gate.name)}, code **${gate.code}**`,
    ...(gate.statement === undefined ? [] : [`Whoever approves states: **${escapeMarkdown(gate.statement)}**`]),
    list([
      `${counted} of ${gate.required} approvals, closes ${gate.expiresAt.replace(/\.\d+Z$/, 'Z')}`,
      ...gate.decisions.slice(-MAX_DECISION_LINES).map(decisionLine),
      `approve: ${codeSpan(`pgr approve ${view.run} ${gate.name} --code ${gate.code}`)}`,
      `reject: ${codeSpan(`pgr reject ${view.run} ${gate.name} --code ${gate.code}`)}`,
    ]),
    'Or here: More Actions → Send a Signal → `approve` (or `reject`), Data:',
    codeBlock('json', jsonToPaste({ gate: gate.name, code: gate.code, by: 'YOUR NAME', comment: '' })),
    'The UI only says that it was sent: press R to see above whether it counted. To send again, clear Data first: it keeps the last text.',
  ];
}

/** Laid out as the editor of the UI lays it out: then its dialog does not move when one goes for the button. */
function jsonToPaste(value: Record<string, string>): string {
  return JSON.stringify(value, null, 2);
}

function evidenceSection(view: RunView): string[] {
  const evidence = view.gate?.evidence ?? view.evidence ?? [];
  if (view.gate === null && evidence.length === 0) return [];
  const good = evidence.filter((row) => row.ok).length;
  const rows = evidence.slice(0, MAX_EVIDENCE_ROWS).map((row) => {
    const found = escapeMarkdown(row.actual);
    const told = row.actual === row.expected ? found : `expected ${escapeMarkdown(row.expected)}; found ${found}`;
    return `${row.ok ? '✓' : '**✗ NOT OK**'} **${escapeMarkdown(row.check)}**: ${told}`;
  });
  const more = evidence.length - rows.length;
  return [
    `### Evidence: ${good} of ${evidence.length} good`,
    ...(rows.length === 0 ? [] : [list([...rows, ...(more > 0 ? [`and ${more} more: \`pgr show\``] : [])])]),
  ];
}

function sandboxSection(view: RunView): string[] {
  const { sandbox } = view;
  if (sandbox === null) return [];
  const until = sandbox.expiresAt === null ? [] : [`kept until ${escapeMarkdown(sandbox.expiresAt)}`];
  return [
    '### Sandbox',
    list([codeSpan(sandbox.url), `on ${escapeMarkdown(sandbox.host)}, ${escapeMarkdown(sandbox.state)}`, ...until]),
  ];
}

function planSection(view: RunView): string[] {
  if (view.plan === null) return [];
  const lines = view.plan.summary.slice(0, MAX_PLAN_LINES).map(escapeMarkdown);
  return ['### Plan', list([...lines, `plan hash ${codeSpan(view.plan.hash.slice(0, SHOWN_HASH))}`])];
}

/** Decisions at gates that are closed; those at the open gate stand there. */
function decisionSection(view: RunView): string[] {
  const expired = view.gate?.expired === true ? view.gate.decisions : [];
  const lines = [...view.decisions, ...expired].slice(-MAX_DECISION_LINES).map(decisionLine);
  return lines.length === 0 ? [] : ['### Decisions', list(lines)];
}

function decisionLine(one: DecisionOutcome): string {
  const verdict = one.counted ? 'counted' : `**refused**: ${proseWithCode(one.why ?? '')}`;
  return `${escapeMarkdown(one.by)}: ${one.decision} at ${escapeMarkdown(one.gate)}, ${verdict}`;
}

function stepSection(view: RunView): string[] {
  const line = (step: StepView): string => `${STEP_MARK[step.status]} ${escapeMarkdown(step.title)} (${step.status})`;
  const undone = (view.undo ?? []).map(line);
  return ['### Steps', list(view.steps.map(line)), ...(undone.length === 0 ? [] : ['### Put back', list(undone)])];
}

function list(lines: readonly string[]): string {
  return lines.map((line) => `- ${line}`).join('\n');
}

/** One line for lists: the static summary of a run that the engine starts. */
export function runSummary(runbook: string, environment: string, requestedBy: string): string {
  return `${escapeMarkdown(runbook)} of ${escapeMarkdown(environment)}, asked by ${escapeMarkdown(requestedBy)}`;
}
