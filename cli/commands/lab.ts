import type { Command } from 'commander';

import type { CliContext } from '../context.js';

/** Placeholder until the lab registers its commands here. */
export function registerLab(program: Command, _context: CliContext): void {
  program.command('lab').description('the embedded environment');
}
