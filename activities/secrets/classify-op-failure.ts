/**
 * What `op` means. Its exit code is 1 for everything, so the text on standard error decides (messages of 2.34 to 2.39).
 * Only `transient` may be retried: the service counts and limits calls, and repeating a refused token gets it locked.
 */
export type OpFailure = 'transient' | 'signed-out' | 'refused' | 'not-found' | 'ambiguous' | 'malformed' | 'unknown';

const RULES: readonly (readonly [OpFailure, RegExp])[] = [
  [
    'transient',
    /context deadline exceeded|authorization timeout|connection (refused|reset)|no such host|rate limit|\(5\d\d\)|\(429\)/i,
  ],
  ['not-found', /isn't an item|isn't a vault|does not have a (field|section)|could not find (item|vault)|no item/i],
  ['ambiguous', /more than one (item|vault) matches/i],
  ['refused', /\(401\)|\(403\)|isn't authorized|invalid bearer token|DecodeSACredentials|unauthorized/i],
  ['signed-out', /not currently signed in|no accounts configured|could not find session token|session expired/i],
  ['malformed', /invalid secret reference|invalid character in secret reference|too (few|many) '\/'/i],
];

/** Sorts the standard error of a failed `op read`. */
export function classifyOpFailure(stderr: string): OpFailure {
  return RULES.find(([, pattern]) => pattern.test(stderr))?.[0] ?? 'unknown';
}

/** What to do about it; names the reference's shape, never a value. */
export const OP_HINTS: Readonly<Record<OpFailure, string>> = {
  transient: 'the 1password service did not answer; the run goes on by itself when it does',
  'signed-out': 'give the worker OP_SERVICE_ACCOUNT_TOKEN (or OP_CONNECT_HOST and OP_CONNECT_TOKEN), then `pgr retry`',
  refused: 'check the token of the service account and that it may read this vault, then `pgr retry`',
  'not-found':
    'check vault, item and field; names with characters other than letters, digits, - _ . and space need the ids instead',
  ambiguous: 'two bear this name: write the ids of vault, item and field instead',
  malformed: 'write it as op://vault/item/field or op://vault/item/section/field',
  unknown:
    'look at OP_CONNECT_HOST where a connect server is used, else run `op read` with the same reference as the worker user, then `pgr retry`',
};
