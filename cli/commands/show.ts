import type { Command } from 'commander';

import type { CliContext } from '../context.js';
import { readFamily, resolveRun } from '../runs.js';
import { printFamily, reportWait, waitForRun } from '../watch.js';
import { withExample } from './options.js';

/** `pgr show`. */
export function registerShow(program: Command, context: CliContext): void {
  const command = program
    .command('show <run>')
    .description('a run as it is now: steps, plan, evidence, and what it waits for');
  withExample(command, 'pgr show production/pitr/20261121-034200', 'pgr show production/change --json').action(
    async (run: string) => {
      await printFamily(context, await readFamily(context, await resolveRun(context, run)));
    },
  );
}

/** `pgr watch`. */
export function registerWatch(program: Command, context: CliContext): void {
  const command = program
    .command('watch <run>')
    .description('follow a run live until it ends; Ctrl-C detaches and never aborts');
  withExample(command, 'pgr watch production/pitr/20261121-034200').action(async (run: string) => {
    const resolved = await resolveRun(context, run);
    const options = { stopForPerson: false, timeoutSeconds: null, live: true };
    await reportWait(context, resolved, await waitForRun(context, resolved, options));
  });
}
