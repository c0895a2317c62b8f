/** What ended runs left behind: from Temporal while it remembers, then from the record. */
import type { PromotionResult } from '../shared/contracts/promotion.js';
import type { RecoveryResult } from '../shared/contracts/sandbox.js';
import { PgrFailure } from '../shared/pgr-failure.js';
import type { CliContext } from './context.js';
import { bodiesOf, recoveryResultOf } from './record-view.js';
import { readRecord } from './records.js';
import { shellWord } from './render/text.js';
import type { ResolvedRun } from './runs.js';

/** The result of a pitr run that kept its sandbox (or promoted it). Throws PreconditionFailed when there is none (yet). */
export async function recoveryOf(context: CliContext, run: ResolvedRun): Promise<RecoveryResult> {
  const result = recoveryResultOf(await resultOf(context, run));
  if (result !== null) return result;
  throw new PgrFailure('PreconditionFailed', `${run.run} has left no sandbox`, {
    hint: 'it is not a pitr run, or it has not ended yet',
    next: [`pgr show ${shellWord(run.run)}`],
  });
}

/** The result of a finished promotion, also when `run` is the pitr run that started it. */
export async function promotionOf(
  context: CliContext,
  run: ResolvedRun,
): Promise<{ of: { run: string; runId: string }; promotion: PromotionResult }> {
  const result = await resultOf(context, run);
  const parent = recoveryResultOf(result)?.promotion ?? null;
  const of = parent ?? run;
  const promotion = parent === null ? result : await resultOf(context, { ...parent, source: 'temporal' });
  if (isPromotion(promotion)) return { of, promotion };
  throw new PgrFailure('PreconditionFailed', `${run.run} has not finished a promotion`, {
    hint: 'only a promotion that completed can be undone; one that still runs is ended with `pgr abort`',
    next: [`pgr show ${shellWord(run.run)}`],
  });
}

async function resultOf(context: CliContext, { run, runId, source }: ResolvedRun): Promise<unknown> {
  const client = await context.client();
  const outcome = source === 'temporal' ? await client.outcome(run, runId) : null;
  if (outcome !== null) return outcome.state === 'open' ? null : outcome.result;
  const entries = await readRecord(context, `${run}@${runId}`);
  return entries === null ? null : (bodiesOf(entries, 'result').at(-1)?.result ?? null);
}

function isPromotion(value: unknown): value is PromotionResult {
  return typeof value === 'object' && value !== null && 'recovery' in value && 'plan' in value && 'timeline' in value;
}
