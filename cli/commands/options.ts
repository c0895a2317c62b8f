/** Flags that several commands share. */
import type { Command } from 'commander';

import { parseDuration } from '../parse.js';
import type { WaitOptions } from '../watch.js';

export type ActorFlags = { by?: string };
export type WaitFlags = { wait?: string; watch?: boolean };

/** `--by NAME`. */
export function withActor(command: Command): Command {
  return command.option('--by <name>', 'who asks (default: PGR_USER, else your user name)');
}

/** `--wait[=DURATION]` and `--watch`. */
export function withWait(command: Command): Command {
  return command
    .option(
      '--wait [duration]',
      'wait for an end or a gate; exit 7 at a gate, 8 when the time is over, 9 for attention',
    )
    .option('--watch', 'show the live view until the run ends; Ctrl-C detaches');
}

/** An example below the help text. */
export function withExample(command: Command, ...examples: string[]): Command {
  const title = examples.length > 1 ? 'Examples' : 'Example';
  return command.addHelpText('after', `\n${title}:\n${examples.map((example) => `  ${example}`).join('\n')}`);
}

/** How to wait, null when only the name of the run is wanted. */
export function waitOptionsOf(flags: WaitFlags): WaitOptions | null {
  if (flags.watch === true) return { stopForPerson: false, timeoutSeconds: null, live: true };
  if (flags.wait === undefined) return null;
  const timeoutSeconds = flags.wait === '' ? null : parseDuration(flags.wait, '--wait');
  return { stopForPerson: true, timeoutSeconds, live: false };
}

/**
 * `--wait` alone must not swallow the word behind it (`pgr pitr --wait lab`): only a duration belongs to it. The parser is
 * handed `--wait=` for the bare flag.
 */
export function normaliseWait(argv: readonly string[]): string[] {
  const end = argv.indexOf('--');
  return argv.map((argument, index) => {
    if (argument !== '--wait' || (end !== -1 && index > end)) return argument;
    return /^\d+[smhd]$/.test(argv[index + 1] ?? '') ? argument : '--wait=';
  });
}
