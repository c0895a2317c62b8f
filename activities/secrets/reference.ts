import { stepFailure } from '../lib/failure.js';

/** A reference as messages name it. The arguments of an `exec:` are left out: somebody may have put a token there. */
export function nameOfReference(reference: string): string {
  if (!reference.startsWith('exec:')) return reference;
  const program = /^exec:\s*(?:\[\s*"([^"]*)"|(\S+))/.exec(reference);
  return `exec:${program?.[1] ?? program?.[2] ?? ''} …`;
}

/** Throws CredentialsRefused for a secret that is empty. */
export function requireValue(value: string, reference: string, hint: string): string {
  if (value !== '') return value;
  throw stepFailure('CredentialsRefused', `the secret ${nameOfReference(reference)} is empty or not set`, { hint });
}
