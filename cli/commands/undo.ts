import type { Command } from 'commander';

import type { UndoInput } from '../../shared/contracts/runs.js';
import { changeIdFor } from '../../shared/ids.js';
import { PgrFailure } from '../../shared/pgr-failure.js';
import type { CliContext } from '../context.js';
import { requireEnvironment } from '../environments.js';
import { actorOf } from '../parse.js';
import { shellWord } from '../render/text.js';
import { promotionOf } from '../results.js';
import { resolveRun } from '../runs.js';
import { afterStart } from '../start.js';
import { waitOptionsOf, withActor, withExample, withWait, type ActorFlags, type WaitFlags } from './options.js';

type UndoFlags = ActorFlags & WaitFlags & { reason?: string };

/** `pgr undo`. */
export function registerUndo(program: Command, context: CliContext): void {
  const command = program
    .command('undo <run>')
    .description('bring back what a finished promotion replaced, while its kept data exist; after approval')
    .option('--reason <text>', 'why; goes into the record');
  withExample(withWait(withActor(command)), 'pgr undo production/pitr/20261121-034200 --reason "wrong target"').action(
    async (run: string, flags: UndoFlags) => undo(context, run, flags),
  );
}

async function undo(context: CliContext, text: string, flags: UndoFlags): Promise<void> {
  const requestedBy = actorOf(flags.by, context.env);
  const wait = waitOptionsOf(flags);
  const resolved = await resolveRun(context, text);
  const { of, promotion } = await promotionOf(context, resolved);
  const { environment } = promotion;
  await requireEnvironment(context, environment);
  if (promotion.outcome === 'undone') {
    throw new PgrFailure('PreconditionFailed', `${of.run} is an undo itself`, {
      hint: 'name the promotion that is to be undone',
      next: ['pgr runs'],
    });
  }
  const reason = flags.reason ?? `undo ${resolved.run}`;
  const requestedAt = context.now().toISOString();
  const input: UndoInput = { environment, requestedBy, reason, requestedAt, ofRun: of.run, promotion };
  const client = await context.client();
  const summary = `undo of ${of.run} in ${environment}`;
  const id = changeIdFor(environment);
  const started = await client.start({ workflow: 'undo', id, input, environment, requestedBy, reason, summary });
  await afterStart(context, started, wait, [
    ['environment', environment],
    ['undoes', `${of.run} (${of.runId})`],
    ['changes', 'nothing until gate undo is approved; then the old cluster comes back'],
    ['approve', `pgr show ${shellWord(started.run)} names the gate and its code`],
  ]);
}
