/**
 * The page of a run in the Temporal Web UI (current details, Markdown): where it is, what to do now and how, evidence, plan, steps.
 * The UI carries this text in a URL, so it is kept short; the record has everything.
 */
import type { RunView, StepStatus } from './contracts/status.js';
import { codeBlock, codeSpan, escapeMarkdown, markdownTable } from './markdown.js';
import { currentStep, positionOf } from './run-state.js';

const MAX_EVIDENCE_ROWS = 40;
const MAX_PLAN_LINES = 30;
const MAX_DECISION_LINES = 10;

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
  done: '✅',
  running: '▶️',
  waiting: '⏸️',
  skipped: '➖',
  failed: '❌',
  pending: '·',
};

/** Current details of a run. `title` is the title of its runbook. */
export function runDetails(view: RunView, title: string): string {
  return [
    `# ${title}: ${STATUS_TEXT[view.status]}`,
    whereItIs(view),
    ...failureSection(view),
    ...gateSection(view),
    ...sandboxSection(view),
    ...planSection(view),
    ...decisionSection(view),
    ...stepSection(view),
  ].join('\n\n');
}

function whereItIs(view: RunView): string {
  const step = currentStep(view);
  const position = step === null ? null : positionOf(view, step.id);
  return [
    `**Environment** ${codeSpan(view.environment)} · **run** ${codeSpan(view.run)}`,
    step === null || position === null ? '' : `**Step ${position}**: ${escapeMarkdown(step.title)}`,
    `Asked by ${escapeMarkdown(view.requestedBy)}: ${escapeMarkdown(view.reason)}`,
    view.child === null ? '' : `The change itself is run ${codeSpan(view.child)}: open that one.`,
  ]
    .filter((line) => line !== '')
    .join('  \n');
}

function failureSection(view: RunView): string[] {
  const { failure } = view;
  if (failure === null) return [];
  const commands = failure.choices.map((choice) =>
    choice === 'retry' ? `pgr retry ${view.run}` : `pgr ${choice} ${view.run} --reason "…"`,
  );
  return [
    failure.choices.length === 0 ? '## Why it ended' : '## What to do now',
    `Step ${codeSpan(failure.step)} failed: **${escapeMarkdown(failure.code)}**, ${escapeMarkdown(failure.message)}`,
    `Hint: ${escapeMarkdown(failure.hint)}`,
    ...(commands.length === 0
      ? []
      : [
          codeBlock('', commands.join('\n')),
          `Here: More Actions → Send an Update → ${failure.choices.map(codeSpan).join(' or ')}, with`,
          codeBlock('json', '{"by":"YOUR NAME","reason":"WHY"}'),
        ]),
  ];
}

function gateSection(view: RunView): string[] {
  const { gate } = view;
  if (gate === null || gate.expired) return [];
  const counted = gate.decisions.filter((one) => one.counted && one.decision === 'approve').length;
  const json = `{"gate":${JSON.stringify(gate.name)},"code":${JSON.stringify(gate.code)},"by":"YOUR NAME","comment":""}`;
  return [
    `## What to do now: decide at gate ${codeSpan(gate.name)}`,
    `${counted} of ${gate.required} approvals · code **${gate.code}** · closes ${escapeMarkdown(gate.expiresAt)}`,
    'To approve: More Actions → Send a Signal → `approve`, with',
    codeBlock('json', json),
    'or on the command line',
    codeBlock('', `pgr approve ${view.run} ${gate.name} --code ${gate.code}`),
    `To reject: signal \`reject\` with the same JSON, or ${codeSpan(`pgr reject ${view.run} ${gate.name} --code ${gate.code}`)}`,
    '### Evidence',
    gate.evidence.length === 0
      ? 'none'
      : markdownTable(
          ['', 'check', 'expected', 'actual'],
          gate.evidence
            .slice(0, MAX_EVIDENCE_ROWS)
            .map((row) => [row.ok ? 'ok' : 'NOT OK', row.check, row.expected, row.actual]),
        ),
    ...(gate.evidence.length > MAX_EVIDENCE_ROWS
      ? [`and ${gate.evidence.length - MAX_EVIDENCE_ROWS} more: \`pgr show\``]
      : []),
  ];
}

function sandboxSection(view: RunView): string[] {
  const { sandbox } = view;
  if (sandbox === null) return [];
  const until = sandbox.expiresAt === null ? '' : ` · kept until ${escapeMarkdown(sandbox.expiresAt)}`;
  return [
    `## Sandbox\n\n${codeSpan(sandbox.url)} on ${escapeMarkdown(sandbox.host)}, ${escapeMarkdown(sandbox.state)}${until}`,
  ];
}

function planSection(view: RunView): string[] {
  if (view.plan === null) return [];
  const lines = view.plan.summary.slice(0, MAX_PLAN_LINES).map((line) => `- ${escapeMarkdown(line)}`);
  return [`## Plan\n\n${lines.join('\n')}\n- plan hash ${codeSpan(view.plan.hash)}`];
}

function decisionSection(view: RunView): string[] {
  const all = [...view.decisions, ...(view.gate?.decisions ?? [])].slice(-MAX_DECISION_LINES);
  if (all.length === 0) return [];
  const lines = all.map((one) => {
    const verdict = one.counted ? 'counted' : `refused (${one.why ?? ''})`;
    return `- ${escapeMarkdown(one.by)}: ${one.decision} at ${escapeMarkdown(one.gate)}, ${escapeMarkdown(verdict)}`;
  });
  return [`## Decisions\n\n${lines.join('\n')}`];
}

function stepSection(view: RunView): string[] {
  const lines = view.steps.map((step) => `- ${STEP_MARK[step.status]} ${escapeMarkdown(step.title)} (${step.status})`);
  const undone = (view.undo ?? []).map((step) => `- ${STEP_MARK[step.status]} ${escapeMarkdown(step.title)}`);
  return [`## Steps\n\n${lines.join('\n')}`, ...(undone.length === 0 ? [] : [`## Put back\n\n${undone.join('\n')}`])];
}

/** One line for lists: the static summary of a run that the engine starts. */
export function runSummary(runbook: string, environment: string, requestedBy: string): string {
  return `${escapeMarkdown(runbook)} of ${escapeMarkdown(environment)}, asked by ${escapeMarkdown(requestedBy)}`;
}
