/** Typed failures (shared/failures.ts) as Temporal carries them. */
import { ApplicationFailure } from '@temporalio/common';

import { FAILURES, isFailureType, type FailureDetails, type FailureType } from '../../shared/failures.js';

export type FailureOptions = { hint?: string; next?: string[]; cause?: unknown };

/**
 * A failure of the closed list: lower-case message with the facts, a hint that says what to run, retried or not as the list says.
 */
export function stepFailure(type: FailureType, message: string, options: FailureOptions = {}): ApplicationFailure {
  const rule = FAILURES[type];
  const details: FailureDetails = { hint: options.hint ?? rule.hint, next: options.next ?? [] };
  return ApplicationFailure.create({
    type,
    message,
    nonRetryable: !rule.retry,
    details: [details],
    ...(options.cause instanceof Error ? { cause: options.cause } : {}),
  });
}

/** True for a failure of exactly this type. */
export function isFailureOf(error: unknown, type: FailureType): error is ApplicationFailure {
  return error instanceof ApplicationFailure && error.type === type;
}

/** Type and text of a failure of the closed list, null for any other error. */
export function knownFailure(error: unknown): { type: FailureType; message: string } | null {
  if (!(error instanceof ApplicationFailure) || !isFailureType(error.type)) return null;
  return { type: error.type, message: error.message };
}
