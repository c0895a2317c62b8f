/** The controller's `secret.key`. Its text, not what it may stand for, is what keys are derived from. Pure. */
import { stepFailure } from '../../lib/failure.js';

export type SecretKey = {
  text: string;
  /** What was done to the text, for people; never the text itself. */
  note: string | null;
};

/** Two UUIDs, as the controller makes it. */
const SHAPE = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** True for a text of the shape that a controller gives its key. */
export function isControllerKey(text: string): boolean {
  return SHAPE.test(text);
}

/**
 * The key out of what a secret store gave: the text as it is, without the newline that editors and secret stores add, or base64 when that decodes to
 * a key of the controller's shape. Throws CredentialsRefused for an empty one.
 */
export function readSecretKey(value: string): SecretKey {
  const text = value.replace(/[\r\n]+$/, '');
  if (text === '') throw stepFailure('CredentialsRefused', 'the secret key of the controller is empty');
  const newline = text === value ? null : 'the secret ends with a newline, which is not part of the key';
  if (SHAPE.test(text)) return { text, note: newline };
  const decoded = /^[A-Za-z0-9+/\s]+={0,2}$/.test(text)
    ? Buffer.from(text, 'base64')
        .toString('utf8')
        .replace(/[\r\n]+$/, '')
    : '';
  if (SHAPE.test(decoded)) return { text: decoded, note: 'the secret is the key in base64' };
  return { text, note: newline };
}
