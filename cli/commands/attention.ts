import type { Command } from 'commander';

import type { CliContext } from '../context.js';
import { sendCommand } from '../decide.js';
import { actorOf, requireText } from '../parse.js';
import { renderPairs } from '../render/table.js';
import { shellWord } from '../render/text.js';
import { actionable, readFamily, resolveRun } from '../runs.js';
import { withActor, withExample, type ActorFlags } from './options.js';

type AttentionFlags = ActorFlags & { reason?: string };
type Verb = 'retry' | 'skip' | 'abort';

const WHAT: Record<Verb, { description: string; happens: string; example: string }> = {
  retry: {
    description: 'try the failed step of a run again',
    happens: 'the failed step is tried again',
    example: 'pgr retry production/change --reason "disk freed"',
  },
  skip: {
    description: 'go on without the failed step, where the runbook allows it',
    happens: 'the run goes on without the failed step',
    example: 'pgr skip production/change --reason "the standby host is gone"',
  },
  abort: {
    description: 'stop a run and put back what it changed',
    happens: 'the run stops and puts back what it changed',
    example: 'pgr abort production/change --reason "wrong target"',
  },
};

/** `pgr retry`. */
export function registerRetry(program: Command, context: CliContext): void {
  register(program, context, 'retry', 'why; goes into the record');
}

/** `pgr skip`. */
export function registerSkip(program: Command, context: CliContext): void {
  register(program, context, 'skip', 'why (needed); goes into the record');
}

/** `pgr abort`. */
export function registerAbort(program: Command, context: CliContext): void {
  register(program, context, 'abort', 'why (needed); goes into the record');
}

function register(program: Command, context: CliContext, verb: Verb, reasonHelp: string): void {
  const { description, example } = WHAT[verb];
  const command = program.command(`${verb} <run>`).description(description).option('--reason <text>', reasonHelp);
  withExample(withActor(command), example).action(async (run: string, flags: AttentionFlags) =>
    sendVerb(context, verb, run, flags),
  );
}

async function sendVerb(context: CliContext, verb: Verb, text: string, flags: AttentionFlags): Promise<void> {
  const by = actorOf(flags.by, context.env);
  const reason =
    verb === 'retry'
      ? (flags.reason ?? '')
      : requireText(flags.reason, '--reason', 'the record says why a step was not done');
  const family = await readFamily(context, await resolveRun(context, text));
  // An abort of the whole is told to the run that was named; the rest is for whoever waits for a person.
  const addressee = verb === 'abort' ? family.view : actionable(family);
  await sendCommand(context, addressee, verb, { by, reason });
  const { run, runId } = addressee;
  context.result({ run, runId, command: verb, accepted: true }, () =>
    renderPairs([
      ['run', run],
      ['accepted', WHAT[verb].happens],
      ['next', `pgr watch ${shellWord(run)}`],
    ]),
  );
}
