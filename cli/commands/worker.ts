import type { Command } from 'commander';

import { PgrFailure } from '../../shared/pgr-failure.js';
import { withExample } from './options.js';

/**
 * `pgr worker`: only its name and help live here. `bin/pgr` starts the worker's own program in its place, because the command
 * line never loads activities.
 */
export function registerWorker(program: Command): void {
  const command = program
    .command('worker')
    .description('serve work on this machine until SIGTERM; killing it at any moment is safe')
    .option('--host <name>', 'serve the activities of this database host (repeatable)')
    .option('--orchestrator', 'serve workflows and activities that need only the network')
    .option('--all', 'serve every role, for one machine and for the lab');
  withExample(command, 'pgr worker --host dallas', 'pgr worker --orchestrator').action(() => {
    throw new PgrFailure('BadUsage', 'this program cannot start a worker', { hint: 'start it through bin/pgr worker' });
  });
}
