import type { Command } from 'commander';

import type { CliContext } from '../context.js';
import { bodiesOf, promotionRunOf } from '../record-view.js';
import { readRecord } from '../records.js';
import { renderReport } from '../render/report.js';
import { writeOutput } from '../write-output.js';
import { requireRecord } from './audit.js';
import { withExample } from './options.js';

/** `pgr report`. */
export function registerReport(program: Command, context: CliContext): void {
  const command = program
    .command('report <run>')
    .description('Markdown report of a run, from its record: timeline, evidence, approvals, RTO/RPO, what was lost')
    .option('--out <file>', 'write it to a file');
  withExample(command, 'pgr report production/pitr/20261121-034200 --out incident.md').action(
    async (run: string, flags: { out?: string }) => {
      const entries = await requireRecord(context, run);
      const promotion = promotionRunOf(bodiesOf(entries, 'result').at(-1)?.result);
      const change = promotion === null ? null : await readRecord(context, `${promotion.run}@${promotion.runId}`);
      const markdown = renderReport(entries, change);
      const facts = { run: entries[0]?.run, runId: entries[0]?.runId };
      if (flags.out !== undefined) await writeOutput(context, markdown, flags.out, facts);
      else context.result({ ...facts, markdown }, () => markdown);
    },
  );
}
