import type { Command } from 'commander';

import type { WindowResult } from '../../shared/contracts/plan.js';
import type { WindowRunInput } from '../../shared/contracts/runs.js';
import type { CliContext } from '../context.js';
import { readThroughWorkflow } from '../read-through-workflow.js';
import { renderWindow } from '../render/window.js';
import { withExample } from './options.js';

/** `pgr window`. */
export function registerWindow(program: Command, context: CliContext): void {
  const command = program
    .command('window <env>')
    .description('which moments can be recovered: bases, holes in the WAL, last archived commit');
  command.option('--store <name>', 'a store of the config: main or one of otherBackups (default: main)');
  withExample(command, 'pgr window production').action(async (env: string, flags: { store?: string }) => {
    const input: WindowRunInput = { environment: env, ...(flags.store === undefined ? {} : { store: flags.store }) };
    const result = (await readThroughWorkflow(context, 'window', env, input)) as WindowResult;
    context.result(result, () => renderWindow(result, context.now()));
  });
}
