/** Sending what a person wants to a run, and turning a refusal into an error. */
import type { DecisionOutcome } from '../shared/contracts/decisions.js';
import { PgrFailure } from '../shared/pgr-failure.js';
import type { CliContext } from './context.js';
import { shellWord } from './render/text.js';

export type CommandName = 'retry' | 'skip' | 'abort' | 'discard';
type Addressee = { run: string; runId: string | undefined };

/** Sends retry, skip, abort or discard. Throws PreconditionFailed with the run's reason when it does not take it. */
export async function sendCommand(
  context: CliContext,
  { run, runId }: Addressee,
  command: CommandName,
  input: { by: string; reason?: string },
): Promise<void> {
  const client = await context.client();
  const address = runId === undefined ? { run } : { run, runId };
  const answer = await client.update({ ...address, update: command, input });
  const { accepted, why } = answer as { accepted: boolean; why: string | null };
  if (accepted) return;
  throw new PgrFailure('PreconditionFailed', `${run} does not take ${command}: ${why ?? 'no reason given'}`, {
    hint: 'look at its state first',
    next: [`pgr show ${shellWord(run)}`],
  });
}

/** Sends a decision. Throws DecisionRefused with the reason, which is in the record too, when it does not count. */
export async function sendDecision(
  context: CliContext,
  { run, runId }: Addressee,
  decision: object,
): Promise<DecisionOutcome> {
  const client = await context.client();
  const address = runId === undefined ? { run } : { run, runId };
  const outcome = (await client.update({ ...address, update: 'decide', input: decision })) as DecisionOutcome;
  if (outcome.counted) return outcome;
  throw new PgrFailure('DecisionRefused', `the decision does not count: ${outcome.why ?? 'no reason given'}`, {
    hint: 'the refusal is in the record; look at the gate, its code and its evidence first',
    next: [`pgr show ${shellWord(run)}`],
  });
}
