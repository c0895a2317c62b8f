import { randomBytes } from 'node:crypto';

/** Ids of short reads (window, check, audit) must not meet those of a colleague in the same second. */
export function uniqueSuffix(): string {
  return randomBytes(3).toString('hex');
}
