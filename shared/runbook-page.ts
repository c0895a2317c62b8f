import type { Runbook, RunbookStep } from './runbook.js';

/** The page of a runbook in `docs/runbooks`, generated so that the docs cannot say something else than the code. */
export function renderRunbookPage(runbook: Runbook): string {
  const rows = runbook.steps.map(
    (step, index) => `| ${String(index + 1)} | \`${step.id}\` | ${step.title} | ${effectOf(step)} | ${undoOf(step)} |`,
  );
  return [
    `# ${runbook.name}: ${runbook.title}`,
    '',
    '<!-- generated from the step table by `npm run docs`; do not edit -->',
    '',
    '| # | step | what | changes production | undo |',
    '| --- | --- | --- | --- | --- |',
    ...rows,
    '',
    'A step that fails parks the run: `pgr show RUN` says why, `pgr retry`, `pgr skip --reason` (only where the table of the step allows it) and `pgr abort --reason` decide.',
    '',
  ].join('\n');
}

function effectOf(step: RunbookStep): string {
  if (step.gate !== undefined) return `waits at gate *${step.gate}*`;
  return `${step.changes ? 'yes' : 'no'}${step.skippable === true ? ', may be skipped' : ''}`;
}

function undoOf(step: RunbookStep): string {
  if (step.undo === undefined) return '';
  return 'step' in step.undo ? `\`${step.undo.step}\`` : step.undo.none;
}
