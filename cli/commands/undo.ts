import type { Command } from 'commander';

import type { FlipRunResult } from '../../shared/contracts/flip.js';
import type { PromotionResult } from '../../shared/contracts/promotion.js';
import type { RebuildToUndo, UndoInput, UndoRebuildInput } from '../../shared/contracts/runs.js';
import { changeIdFor } from '../../shared/ids.js';
import { PgrFailure } from '../../shared/pgr-failure.js';
import type { CliContext } from '../context.js';
import { requireEnvironment } from '../environments.js';
import { actorOf } from '../parse.js';
import { shellWord } from '../render/text.js';
import { undoableOf } from '../results.js';
import type { StartRequest } from '../run-client.js';
import { resolveRun } from '../runs.js';
import { afterStart } from '../start.js';
import { waitOptionsOf, withActor, withExample, withWait, type ActorFlags, type WaitFlags } from './options.js';

type UndoFlags = ActorFlags & WaitFlags & { reason?: string };
type Asked = { requestedBy: string; reason: string; requestedAt: string };
type Undoing = { request: StartRequest; undoes: string; changes: string };

/** `pgr undo`. */
export function registerUndo(program: Command, context: CliContext): void {
  const command = program
    .command('undo <run>')
    .description('bring back what a promotion or a rebuild replaced, while its safety copies exist; after approval')
    .option('--reason <text>', 'why; goes into the record');
  withExample(
    withWait(withActor(command)),
    'pgr undo production/pitr/20261121-034200 --reason "wrong target"',
    'pgr undo production/change@0199aaaa-bbbb --reason "the rebuilt standby is broken"',
  ).action(async (run: string, flags: UndoFlags) => undo(context, run, flags));
}

async function undo(context: CliContext, text: string, flags: UndoFlags): Promise<void> {
  const requestedBy = actorOf(flags.by, context.env);
  const wait = waitOptionsOf(flags);
  const resolved = await resolveRun(context, text);
  const undoable = await undoableOf(context, resolved);
  const asked = {
    requestedBy,
    reason: flags.reason ?? `undo ${resolved.run}`,
    requestedAt: context.now().toISOString(),
  };
  if (undoable.kind === 'flip') throw flipsBack(undoable.flip);
  const undoing =
    undoable.kind === 'rebuild'
      ? undoingRebuild(undoable.rebuild, asked)
      : undoingPromotion(undoable.of, undoable.promotion, asked);
  const { environment } = undoing.request;
  await requireEnvironment(context, environment);
  const client = await context.client();
  const started = await client.start(undoing.request);
  await afterStart(context, started, wait, [
    ['environment', environment],
    ['undoes', undoing.undoes],
    ['changes', undoing.changes],
    ['approve', `pgr show ${shellWord(started.run)} names the gate and its code`],
  ]);
}

function undoingPromotion(of: { run: string; runId: string }, promotion: PromotionResult, asked: Asked): Undoing {
  const { environment } = promotion;
  if (promotion.outcome === 'undone') {
    throw new PgrFailure('PreconditionFailed', `${of.run} is an undo itself`, {
      hint: 'name the promotion that is to be undone',
      next: ['pgr runs'],
    });
  }
  const input: UndoInput = { environment, ...asked, ofRun: of.run, promotion };
  return {
    request: {
      workflow: 'undo',
      id: changeIdFor(environment),
      input,
      environment,
      requestedBy: asked.requestedBy,
      reason: asked.reason,
      summary: `undo of ${of.run} in ${environment}`,
    },
    undoes: `${of.run} (${of.runId})`,
    changes: 'nothing until gate undo is approved; then the old cluster comes back',
  };
}

function undoingRebuild(found: RebuildToUndo, asked: Asked): Undoing {
  const { environment, run, runId, plan, safetyCopy } = found;
  const rebuild: RebuildToUndo = { environment, run, runId, plan, safetyCopy };
  const input: UndoRebuildInput = { environment, ...asked, ofRun: run, rebuild };
  return {
    request: {
      workflow: 'undoRebuild',
      id: changeIdFor(environment),
      input,
      environment,
      requestedBy: asked.requestedBy,
      reason: asked.reason,
      summary: `undo of the rebuild of ${plan.node.name} in ${environment}`,
    },
    undoes: `${run} (${runId})`,
    changes: `nothing until gate undo is approved; then ${safetyCopy.name} becomes the data of ${plan.node.name} again`,
  };
}

/** A flip replaced nothing: both nodes hold all of it. Going back is another flip, with all of its checks. */
function flipsBack({ environment, plan }: FlipRunResult): PgrFailure {
  const { from, to } = plan;
  return new PgrFailure('PreconditionFailed', `a flip is not undone: ${to.name} has taken writes since`, {
    hint: `flip back to ${from.name}; when it did not come back as a standby, rebuild it first`,
    next: [`pgr flip-db ${shellWord(environment)} --to ${shellWord(from.name)}`],
  });
}
