import type { Command } from 'commander';

import { PgrFailure } from '../../shared/pgr-failure.js';
import { withExample } from './options.js';

/** `pgr pg-health`: only its name and help live here. `bin/pgr` starts the program itself in its place, as for `pgr worker`. */
export function registerPgHealth(program: Command): void {
  const command = program
    .command('pg-health')
    .description(
      'tell routers over HTTP (/primary, /replica, /health) whether the server of a node takes writes; until SIGTERM',
    )
    .option('--node <name>', 'node of the config with health: { kind: pgr, port: N }')
    .option('--environment <name>', 'its environment, where several have a node of that name');
  withExample(command, 'pgr pg-health --node dallas').action(() => {
    throw new PgrFailure('BadUsage', 'this program cannot start pg-health', {
      hint: 'start it through bin/pgr pg-health',
    });
  });
}
