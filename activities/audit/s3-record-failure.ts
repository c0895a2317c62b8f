import { ApplicationFailure } from '@temporalio/common';

import { stepFailure } from '../lib/failure.js';

const REFUSED = new Set(['AccessDenied', 'InvalidAccessKeyId', 'SignatureDoesNotMatch', 'Forbidden']);

/** HTTP status of a failed S3 call, null when the server never answered. */
export function httpStatusOf(error: unknown): number | null {
  if (typeof error !== 'object' || error === null || !('$metadata' in error)) return null;
  const metadata = error.$metadata;
  if (typeof metadata !== 'object' || metadata === null || !('httpStatusCode' in metadata)) return null;
  return typeof metadata.httpStatusCode === 'number' ? metadata.httpStatusCode : null;
}

/** The typed failure of a call to the record's bucket; one that is typed already passes through. */
export function recordStoreFailure(place: string, error: unknown): ApplicationFailure {
  if (error instanceof ApplicationFailure) return error;
  const name = error instanceof Error ? error.name : 'unknown';
  const status = httpStatusOf(error);
  if (REFUSED.has(name) || status === 401 || status === 403) {
    return stepFailure('CredentialsRefused', `the record store ${place} refuses the credentials (${name})`, {
      hint: 'check record.accessKeyId and record.secretAccessKey in the config and what they may do, then `pgr retry`',
      cause: error,
    });
  }
  const message = error instanceof Error ? error.message : String(error);
  return stepFailure('RecordUnavailable', `the record store ${place} does not take the entry (${name}: ${message})`, {
    cause: error,
  });
}
