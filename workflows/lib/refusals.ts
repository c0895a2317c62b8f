import type { EvidenceCheck } from '../../shared/contracts/sandbox.js';
import type { FailureType } from '../../shared/failures.js';
import { runFailure } from './failures.js';
import type { Run } from './run.js';

/** What a check before any change may say: nothing was begun, so the run ends with it instead of waiting for a person. */
export const CHECK_REFUSALS: readonly FailureType[] = [
  'BadUsage',
  'ConfigInvalid',
  'NotFound',
  'EnvironmentUnknown',
  'PreconditionFailed',
  'IdentityMismatch',
  'SpaceMissing',
  'MajorMismatch',
  'SafetyCopyMissing',
  'HostUnreachable',
];

/** Throws PreconditionFailed naming every check that does not hold. */
export function requireChecks(checks: readonly EvidenceCheck[], next: string[]): void {
  const bad = checks.filter((check) => !check.ok);
  if (bad.length === 0) return;
  const texts = bad.map(({ check, expected, actual }) => `${check}: found ${actual}, expected ${expected}`);
  throw runFailure('PreconditionFailed', texts.join('; '), {
    hint: 'nothing was changed; mend what the message names and start again',
    next,
  });
}

/**
 * Ends the run because people said no at `gate`. Nothing changed yet: the run is rejected. Something did: it is aborted, so that it is put back.
 */
export async function refusedAt<Id extends string>(run: Run<Id>, gate: string, rejected: () => Error): Promise<never> {
  if (run.undo.isEmpty) throw rejected();
  run.attention.requestAbort({ by: `gate ${gate}`, reason: 'it was rejected' });
  run.attention.throwIfAborted();
  return Promise.reject(rejected());
}
