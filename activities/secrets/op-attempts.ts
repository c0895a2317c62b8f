/** What both ways to 1Password share: what passes is tried again, what does not is said with what to mend. */
import { setTimeout as sleep } from 'node:timers/promises';

import { stepFailure } from '../lib/failure.js';
import { OP_HINTS, type OpFailure } from './classify-op-failure.js';

/** One read. */
export type OpAttempt = { value: string } | { failure: OpFailure };

/** Attempts inside one call; after them the activity's own retries go on. */
const OP_ATTEMPTS = 3;

/**
 * The value. Throws CredentialsRefused for what a person must mend and SecretUnavailable (retried) when 1Password does not answer.
 * @param retryDelayMs pause before the second attempt; doubles each time
 */
export async function readWithRetries(
  reference: string,
  attempt: () => Promise<OpAttempt>,
  retryDelayMs = 1_000,
): Promise<string> {
  for (let number = 1, delay = retryDelayMs; ; number += 1, delay *= 2) {
    const result = await attempt();
    if ('value' in result) return result.value;
    if (result.failure !== 'transient' || number === OP_ATTEMPTS) throw opFailure(reference, result.failure);
    await sleep(delay);
  }
}

function opFailure(reference: string, kind: OpFailure) {
  const type = kind === 'transient' ? 'SecretUnavailable' : 'CredentialsRefused';
  // Not 1Password's own words: they may quote item names of the vault beyond the reference.
  return stepFailure(type, `1password does not give ${reference} (${kind})`, { hint: OP_HINTS[kind] });
}
