/** What both clients check of an answer. */
import { createHash } from 'node:crypto';

import { stepFailure } from '../lib/failure.js';
import { s3Failure, type S3Place } from './s3-errors.js';

/** The entity tag of a plain PUT is the MD5 of what the server stored, unless the bucket encrypts with keys of its own. */
export function proveStored(etag: string | undefined, body: Buffer, place: S3Place, key: string): void {
  const told = /^"?([0-9a-f]{32})"?$/.exec(etag ?? '')?.[1];
  if (told === undefined || told === createHash('md5').update(body).digest('hex')) return;
  throw stepFailure(
    'StoreUnavailable',
    `bucket ${place.bucket} at ${place.endpoint} stored something else than was sent (put ${key})`,
    { hint: 'look at the log of the S3 server' },
  );
}

/** An error that is already typed (thrown by a producer of parts, say) stays what it is. */
export function asFailure(error: unknown, place: S3Place, what: string): Error {
  return error instanceof Error && error.name === 'ApplicationFailure' ? error : s3Failure(error, place, what);
}
