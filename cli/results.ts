/** What ended runs left behind: from Temporal while it remembers, then from the record. */
import type { DumpResult } from '../shared/contracts/dump.js';
import type { FlipRunResult } from '../shared/contracts/flip.js';
import type { PromotionResult } from '../shared/contracts/promotion.js';
import type { RebuildPlan, RebuildResult, TakeSafetyCopyResult } from '../shared/contracts/rebuild.js';
import type { RebuildToUndo } from '../shared/contracts/runs.js';
import type { RecoveryResult } from '../shared/contracts/sandbox.js';
import { PgrFailure } from '../shared/pgr-failure.js';
import type { CliContext } from './context.js';
import { bodiesOf, dumpResultOf, promotionRunOf, recoveryResultOf } from './record-view.js';
import { readRecord } from './records.js';
import { shellWord } from './render/text.js';
import type { ResolvedRun } from './runs.js';

/** What `pgr promote` can make production: the sandbox of a recovery, or of a restored dump. */
export type Promotable = { kind: 'recovery'; recovery: RecoveryResult } | { kind: 'dump'; dump: DumpResult };

/** The result of a run that kept its sandbox (or promoted it). Throws PreconditionFailed when there is none (yet). */
export async function promotableOf(context: CliContext, run: ResolvedRun): Promise<Promotable> {
  const left = await resultOf(context, run);
  const recovery = recoveryResultOf(left);
  if (recovery !== null) return { kind: 'recovery', recovery };
  const dump = dumpResultOf(left);
  if (dump !== null) return { kind: 'dump', dump };
  throw new PgrFailure('PreconditionFailed', `${run.run} has left no sandbox`, {
    hint: 'it is neither a pitr nor a restore-dump run, or it has not ended yet',
    next: [`pgr show ${shellWord(run.run)}`],
  });
}

/** What `pgr undo` can mean by a run. */
export type Undoable =
  | { kind: 'promotion'; of: { run: string; runId: string }; promotion: PromotionResult }
  | { kind: 'rebuild'; rebuild: RebuildToUndo }
  | { kind: 'flip'; flip: FlipRunResult };

/** What a run changed, by what it left behind. Throws PreconditionFailed when there is nothing to bring back. */
export async function undoableOf(context: CliContext, run: ResolvedRun): Promise<Undoable> {
  const result = await resultOf(context, run);
  if (isFlip(result)) return { kind: 'flip', flip: result };
  if (isRebuild(result)) return { kind: 'rebuild', rebuild: result };
  if (!isPromotion(result) && recoveryResultOf(result) === null && dumpResultOf(result) === null) {
    const rebuild = await unfinishedRebuild(context, run);
    if (rebuild !== null) return { kind: 'rebuild', rebuild };
  }
  return { kind: 'promotion', ...(await promotionOf(context, run)) };
}

/**
 * A rebuild that ended without a result (aborted with a step skipped, failed, terminated) has made its safety copy all the same: the record knows
 * it. Null for every other run. Throws PreconditionFailed for one that still runs or was put back.
 */
async function unfinishedRebuild(context: CliContext, { run, runId }: ResolvedRun): Promise<RebuildToUndo | null> {
  const client = await context.client();
  const entries = await readRecord(context, `${run}@${runId}`);
  const start = entries === null ? undefined : bodiesOf(entries, 'run-started')[0];
  if (entries === null || start?.runbook !== 'rebuild-standby') return null;
  const name = shellWord(run);
  if ((await client.outcome(run, runId))?.state === 'open') {
    throw new PgrFailure('PreconditionFailed', `${run} still runs`, {
      hint: 'end it: an abort puts the old data back',
      next: [`pgr abort ${name} --reason TEXT`, `pgr show ${name}`],
    });
  }
  const taken = bodiesOf(entries, 'step-done').find(({ step }) => step === 'take-safety-copy')?.result;
  const plan = bodiesOf(entries, 'plan').at(-1)?.plan;
  if (taken === undefined || bodiesOf(entries, 'undo-done').some(({ step }) => step === 'return-safety-copy')) {
    throw new PgrFailure('PreconditionFailed', `the data that ${run} touched are where they were already`, {
      hint: 'there is nothing to bring back',
      next: [`pgr show ${name}`],
    });
  }
  const { copy } = taken as TakeSafetyCopyResult;
  return { run, runId, environment: start.environment, plan: plan as RebuildPlan, safetyCopy: copy };
}

/** The result of a finished promotion, also when `run` is the pitr run that started it. */
async function promotionOf(
  context: CliContext,
  run: ResolvedRun,
): Promise<{ of: { run: string; runId: string }; promotion: PromotionResult }> {
  const result = await resultOf(context, run);
  const parent = promotionRunOf(result);
  const of = parent ?? run;
  const promotion = parent === null ? result : await resultOf(context, { ...parent, source: 'temporal' });
  if (isPromotion(promotion)) return { of, promotion };
  throw new PgrFailure('PreconditionFailed', `${run.run} has finished neither a promotion nor a rebuild`, {
    hint: 'only what was changed can be undone; a run that still runs is ended with `pgr abort`',
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

function isFlip(value: unknown): value is FlipRunResult {
  return typeof value === 'object' && value !== null && 'flip' in value && 'plan' in value && 'rejoin' in value;
}

function isRebuild(value: unknown): value is RebuildResult {
  return typeof value === 'object' && value !== null && 'safetyCopy' in value && 'plan' in value;
}

function isPromotion(value: unknown): value is PromotionResult {
  return typeof value === 'object' && value !== null && 'recovery' in value && 'plan' in value && 'timeline' in value;
}
