/** What an S3 server says, in the words of shared/failures.ts. A missing key is an answer, not an error (invariant 7). */
import type { ApplicationFailure } from '@temporalio/common';

import { stepFailure } from '../lib/failure.js';

/** Where a call went; named in every failure so that a person knows which server to look at. */
export type S3Place = { endpoint: string; bucket: string };

/** `missing-key`: a real 404 on a key. `passing`: the same call may succeed later. The rest needs a person. */
export type S3ErrorKind =
  'missing-key' | 'missing-bucket' | 'refused' | 'wrong-place' | 'changed' | 'not-supported' | 'passing' | 'unknown';

const REFUSED = new Set([
  'AccessDenied',
  'Forbidden',
  'InvalidAccessKeyId',
  'SignatureDoesNotMatch',
  'InvalidToken',
  'ExpiredToken',
  'AuthorizationHeaderMalformed',
  'RequestTimeTooSkewed',
  'CredentialsProviderError',
]);
const PASSING = new Set([
  'TimeoutError',
  'RequestTimeout',
  'SlowDown',
  'Throttling',
  'ThrottlingException',
  'InternalError',
  'ServiceUnavailable',
  'TruncatedBody',
  'AbortError',
]);
const SYSTEM_CODES = /^(ECONN|ETIMEDOUT|EPIPE|EAI_AGAIN|ENOTFOUND|EHOSTUNREACH|ENETUNREACH|ERR_STREAM|UND_ERR)/;
const HTTP_KINDS: Readonly<Record<number, S3ErrorKind>> = {
  301: 'wrong-place',
  307: 'wrong-place',
  401: 'refused',
  403: 'refused',
  404: 'missing-key',
  408: 'passing',
  412: 'changed',
  429: 'passing',
  501: 'not-supported',
};

type S3ErrorShape = { name?: unknown; code?: unknown; Code?: unknown; $metadata?: { httpStatusCode?: number } };

/** Sorts an error of the S3 client into one of the kinds above. */
export function kindOfS3Error(error: unknown): S3ErrorKind {
  const shape = (typeof error === 'object' && error !== null ? error : {}) as S3ErrorShape;
  const names = [shape.name, shape.Code, shape.code].filter((name): name is string => typeof name === 'string');
  if (names.includes('NoSuchBucket')) return 'missing-bucket';
  if (names.some((name) => REFUSED.has(name))) return 'refused';
  if (names.some((name) => PASSING.has(name) || SYSTEM_CODES.test(name))) return 'passing';
  const status = shape.$metadata?.httpStatusCode;
  // The client marks every error of a request; one without a status is a request that got no answer.
  if (status === undefined) return shape.$metadata === undefined ? 'unknown' : 'passing';
  if (status >= 500 && status !== 501) return 'passing';
  return HTTP_KINDS[status] ?? 'unknown';
}

/** The typed failure for an error that is not an answer; `what` is the attempted call, e.g. `get bases/x/base.json`. */
export function s3Failure(error: unknown, place: S3Place, what: string): ApplicationFailure {
  const where = `bucket ${place.bucket} at ${place.endpoint}`;
  const why = error instanceof Error ? `${error.name}: ${error.message}`.slice(0, 300) : String(error);
  switch (kindOfS3Error(error)) {
    case 'missing-bucket':
      return stepFailure('PreconditionFailed', `${where} does not exist (${what})`, {
        hint: 'create the bucket or correct backups.bucket in the config, then `pgr retry`',
        cause: error,
      });
    case 'refused':
      return stepFailure('CredentialsRefused', `${where} refuses the credentials (${what}): ${why}`, {
        hint: 'check accessKeyId and secretAccessKey of the backup store and the clock of this machine, then `pgr retry`',
        cause: error,
      });
    case 'wrong-place':
      return stepFailure('PreconditionFailed', `${where} answers with a redirect (${what}): ${why}`, {
        hint: 'correct endpoint or region of the backup store in the config, then `pgr retry`',
        cause: error,
      });
    case 'missing-key':
      return stepFailure('NotFound', `${where} has no such object (${what})`, {
        hint: 'run `pgr window` to see what the store has',
        cause: error,
      });
    case 'passing':
    case 'changed':
    case 'not-supported':
    case 'unknown':
    default:
      return stepFailure('StoreUnavailable', `${where} does not answer (${what}): ${why}`, { cause: error });
  }
}
