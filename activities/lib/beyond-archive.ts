/**
 * A target that lies behind the end of the archive may become recoverable when the primary hands over its newest WAL. The store says so
 * with this mark in the details of its failure, and the planner, which can reach the primary, looks for it.
 */
import { ApplicationFailure } from '@temporalio/common';

const MARK = { beyondArchive: true } as const;

/** The same failure with the mark behind its hint. */
export function markBeyondArchive(failure: ApplicationFailure): ApplicationFailure {
  return ApplicationFailure.create({
    type: failure.type ?? 'TargetNotRecoverable',
    message: failure.message,
    nonRetryable: failure.nonRetryable ?? true,
    details: [...(failure.details ?? []), MARK],
  });
}

/** True when WAL that is not archived yet may change the answer. */
export function isBeyondArchive(error: unknown): boolean {
  if (!(error instanceof ApplicationFailure)) return false;
  return (error.details ?? []).some(
    (detail) => typeof detail === 'object' && detail !== null && 'beyondArchive' in detail,
  );
}
