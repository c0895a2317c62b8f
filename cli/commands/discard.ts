import type { Command } from 'commander';

import { sandboxKeeperIdFor, slugFor } from '../../shared/ids.js';
import { PgrFailure } from '../../shared/pgr-failure.js';
import { hasEnded } from '../../shared/run-state.js';
import { sendCommand } from '../decide.js';
import type { CliContext } from '../context.js';
import { actorOf } from '../parse.js';
import { renderPairs } from '../render/table.js';
import { shellWord } from '../render/text.js';
import { readFamily, resolveRun } from '../runs.js';
import { withActor, withExample, type ActorFlags } from './options.js';

type DiscardFlags = ActorFlags & { reason?: string };

/** `pgr discard`. */
export function registerDiscard(program: Command, context: CliContext): void {
  const command = program
    .command('discard <run>')
    .description('drop the sandbox that an earlier pitr or restore-dump run kept; production is not touched')
    .option('--reason <text>', 'why; goes into the record');
  withExample(withActor(command), 'pgr discard production/pitr/20261121-034200').action(
    async (run: string, flags: DiscardFlags) => discard(context, run, flags),
  );
}

async function discard(context: CliContext, text: string, flags: DiscardFlags): Promise<void> {
  const by = actorOf(flags.by, context.env);
  const resolved = await resolveRun(context, text);
  const { view } = await readFamily(context, resolved);
  const name = shellWord(view.run);
  if (!['pitr', 'restore-dump'].includes(view.runbook)) {
    throw new PgrFailure('PreconditionFailed', `${view.run} is a ${view.runbook} run and has no sandbox of its own`, {
      next: ['pgr runs'],
    });
  }
  if (!hasEnded(view.status)) {
    throw new PgrFailure('PreconditionFailed', `${view.run} still uses its sandbox (${view.status})`, {
      hint: 'reject its gate, which keeps the sandbox for its time, or abort the run, which drops it',
      next: [`pgr abort ${name} --reason TEXT`, `pgr show ${name}`],
    });
  }
  const keeper = sandboxKeeperIdFor(view.environment, slugFor(view.runId));
  await sendCommand(context, { run: keeper, runId: undefined }, 'discard', { by, reason: flags.reason ?? '' }).catch(
    (error: unknown) => {
      if (!(error instanceof PgrFailure && error.code === 'NotFound')) throw error;
      throw new PgrFailure('NotFound', `nobody keeps a sandbox of ${view.run}: it was dropped or promoted already`, {
        hint: 'there is nothing to do',
        next: [`pgr show ${name}`],
        cause: error,
      });
    },
  );
  context.result({ run: view.run, runId: view.runId, keeper, outcome: 'discarding' }, () =>
    renderPairs([
      ['run', view.run],
      ['sandbox', view.sandbox === null ? null : `${view.sandbox.url} is being dropped`],
      ['next', `pgr runs ${view.environment}`],
    ]),
  );
}
