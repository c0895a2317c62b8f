import { SIGNATURE_NAMESPACE } from '../../shared/contracts/decisions.js';

/** `ssh-keygen -Y verify` (ssh-keygen(1)): the signed text comes on standard input. */
export function verifyArgs(input: { allowedSigners: string; by: string; signatureFile: string }): string[] {
  return [
    ...['-Y', 'verify'],
    ...['-f', input.allowedSigners],
    ...['-I', input.by],
    ...['-n', SIGNATURE_NAMESPACE],
    ...['-s', input.signatureFile],
  ];
}
