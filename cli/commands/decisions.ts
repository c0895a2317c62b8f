import type { Command } from 'commander';

import { signedTextFor, type Decision } from '../../shared/contracts/decisions.js';
import type { RunView } from '../../shared/contracts/status.js';
import type { CliContext } from '../context.js';
import { sendDecision } from '../decide.js';
import { actorOf, requireText } from '../parse.js';
import { renderPairs } from '../render/table.js';
import { count, oneLine, shellWord } from '../render/text.js';
import { readFamily, resolveRun, type RunFamily } from '../runs.js';
import { signText } from '../sign.js';
import { withActor, withExample, type ActorFlags } from './options.js';

type DecisionFlags = ActorFlags & { code?: string; comment?: string; print?: boolean; sign?: string };
type Verb = Decision['decision'];

/** `pgr approve`. */
export function registerApprove(program: Command, context: CliContext): void {
  register(program, context, 'approve', 'approve the open gate of a run');
}

/** `pgr reject`. */
export function registerReject(program: Command, context: CliContext): void {
  register(program, context, 'reject', 'reject the open gate of a run');
}

function register(program: Command, context: CliContext, verb: Verb, description: string): void {
  const command = program
    .command(`${verb} <run> <gate>`)
    .description(description)
    .option('--code <code>', 'the code that `pgr show` prints with the plan and the evidence')
    .option('--comment <text>', 'goes into the record')
    .option('--sign <keyfile>', 'sign with this ssh key (or its public part when the key is in the agent)')
    .option('--print', 'send nothing; print what to paste into the Temporal UI');
  withExample(
    withActor(command),
    `pgr ${verb} production/pitr/20261121-034200 promote --code K7QF2M`,
    `pgr ${verb} production/pitr/20261121-034200 promote --code K7QF2M --sign ~/.ssh/id_ed25519 --print`,
  ).action(async (run: string, gate: string, flags: DecisionFlags) => decide(context, verb, { run, gate, flags }));
}

async function decide(
  context: CliContext,
  verb: Verb,
  { run, gate, flags }: { run: string; gate: string; flags: DecisionFlags },
): Promise<void> {
  const code = requireText(flags.code, '--code', `\`pgr show ${shellWord(run)}\` prints it beside the evidence`);
  const by = oneLine(actorOf(flags.by, context.env));
  const family = await readFamily(context, await resolveRun(context, run));
  const view = holderOf(family, gate);
  const decision: Decision = {
    gate,
    code: code.toUpperCase(),
    by,
    decision: verb,
    ...(flags.comment === undefined ? {} : { comment: flags.comment }),
  };
  if (flags.sign !== undefined) decision.signature = await signText(signedTextFor(decision, view.run), flags.sign);
  if (flags.print === true) {
    printDecision(context, verb, decision, view);
    return;
  }
  const outcome = await sendDecision(context, view, decision);
  const missing = outcome.required - outcome.approvals;
  context.result({ run: view.run, runId: view.runId, ...outcome }, () =>
    renderPairs([
      ['run', view.run],
      [verb === 'approve' ? 'approved' : 'rejected', `gate ${outcome.gate} by ${outcome.by} (${outcome.identity})`],
      ['still needed', verb === 'approve' && missing > 0 ? count(missing, 'approval') : null],
      ['next', `pgr watch ${shellWord(view.run)}`],
    ]),
  );
}

/** The gate may be that of the child runbook which the named run waits for. */
function holderOf({ view, child }: RunFamily, gate: string): RunView {
  return view.gate?.name !== gate && child?.gate?.name === gate ? child : view;
}

/**
 * The signal's name says whether it approves, so the payload does not. It is laid out as the UI's editor lays it out: one line would
 * grow when the editor is left, and the click on Submit would miss.
 */
function printDecision(context: CliContext, signal: Verb, decision: Decision, view: RunView): void {
  const { gate, code, by, comment, signature } = decision;
  const input = { gate, code, by, comment, signature };
  context.result({ run: view.run, runId: view.runId, signal, input }, () => `${JSON.stringify(input, null, 2)}\n`);
  context.io.err(
    `in the Temporal UI, on the page of ${view.run}: More Actions, Send a Signal, ${signal}; paste it into Data\n`,
  );
}
