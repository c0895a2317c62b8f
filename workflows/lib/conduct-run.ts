/** The frame around a runbook: begin, go through it, and end in exactly one of completed, rejected, aborted, failed. */
import { ApplicationFailure } from '@temporalio/common';
import { CancellationScope } from '@temporalio/workflow';

import { currentStep } from '../../shared/run-state.js';
import type { Abort } from './attention.js';
import { readFailure, runFailure } from './failures.js';
import { isRefusal, type Run } from './run.js';

/** Thrown by a runbook that ends because people said no; `result` goes into the record and into the failure's details. */
export function rejected(message: string, result: unknown): ApplicationFailure {
  return runFailure('RunRejected', message, { also: result });
}

/**
 * Runs `body`. A cancel request (Web UI, parent run) is an abort like any other: the scope of the workflow is shielded, so that
 * what was changed is put back in order. Throws RunAborted, RunRejected, the failure of a refused step, or Bug.
 */
export async function conductRun<Id extends string, Result>(
  run: Run<Id>,
  input: unknown,
  body: () => Promise<Result>,
  afterUndo: () => Promise<void> = () => Promise.resolve(),
): Promise<Result> {
  CancellationScope.current().cancelRequested.catch(() =>
    run.attention.requestAbort({ by: 'cancel request', reason: 'the execution was asked to cancel' }),
  );
  return CancellationScope.nonCancellable(async () => {
    try {
      await run.begin(input);
      const result = await body();
      run.attention.throwIfAborted();
      await run.end('completed', result, true);
      return result;
    } catch (error) {
      return endBadly(run, error, afterUndo);
    }
  });
}

async function endBadly<Id extends string>(
  run: Run<Id>,
  error: unknown,
  afterUndo: () => Promise<void>,
): Promise<never> {
  if (run.attention.abort !== null) return endAborted(run, run.attention.abort, afterUndo);
  if (error instanceof ApplicationFailure && error.type === 'RunRejected') {
    run.attention.phase = 'final';
    await run.end('rejected', error.details?.[1] ?? null, true);
    throw error;
  }
  const facts = readFailure(error);
  if (!(error instanceof ApplicationFailure && isRefusal(error.details))) {
    const abort = await parkOnBug(run, error);
    if (abort !== null) return endAborted(run, abort, afterUndo);
  }
  const { code, message, hint, next } = facts;
  run.view.failure ??= { step: currentStep(run.view)?.id ?? '', code, message, hint, choices: [] };
  run.attention.phase = 'final';
  await run.end('failed', facts, false);
  throw runFailure(code, message, { hint, next });
}

/** Something failed outside of any step. When there is something to put back a person decides when; else the run can only end. */
async function parkOnBug<Id extends string>(run: Run<Id>, error: unknown): Promise<Abort | null> {
  const facts = readFailure(error);
  const step = currentStep(run.view)?.id ?? '';
  run.note(`unexpected failure at ${step}`, { code: facts.code, message: facts.message, stack: stackOf(error) });
  if (!run.undo.isEmpty) await run.attention.park(step, facts, []).catch(() => undefined);
  return run.attention.abort;
}

async function endAborted<Id extends string>(
  run: Run<Id>,
  abort: Abort,
  afterUndo: () => Promise<void>,
): Promise<never> {
  const nothingToUndo = run.undo.isEmpty;
  run.attention.phase = 'final';
  run.view.status = 'running';
  run.view.failure = null;
  const skipped = await run.undo.run();
  await afterUndo();
  if (skipped.length === 0) run.notices.serviceRestored({ how: 'put-back', writeOutageMs: null });
  const left = skipped.length === 0 ? '' : `; not put back: ${skipped.join(', ')}`;
  const message = `aborted by ${abort.by}: ${abort.reason}${left}`;
  const step = currentStep(run.view)?.id ?? '';
  await run.end('aborted', { abort, skipped }, !nothingToUndo);
  run.view.failure = { step, code: 'RunAborted', message, hint: '`pgr show` says what was put back', choices: [] };
  run.publish();
  throw runFailure('RunAborted', message, { also: { skipped } });
}

function stackOf(error: unknown): string | null {
  return error instanceof Error ? (error.stack ?? null) : null;
}
