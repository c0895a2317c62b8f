/**
 * Checks an SSH signature with OpenSSH itself. A signature that does not verify is an answer; signers that cannot be read and a
 * missing program are failures, because "unknown" must never read as "not signed by ana" in the record (invariant 7).
 */
import { constants } from 'node:fs';
import { access, mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';

import {
  SIGNATURE_NAMESPACE,
  type VerifySignatureInput,
  type VerifySignatureResult,
} from '../../shared/contracts/decisions.js';
import type { ActivityDeps } from '../lib/deps.js';
import { environmentOf } from '../lib/environment-config.js';
import { runProgram } from '../lib/exec.js';
import { stepFailure } from '../lib/failure.js';
import { verifyArgs } from './commands.js';

/** An ed25519 signature has 300 characters, one of a 16384-bit RSA key less than 6000. */
const MAX_SIGNATURE = 16_384;
const TIMEOUT_MS = 10_000;

/** Activity `verifySignature`. */
export function createVerifySignature({ config }: Pick<ActivityDeps, 'config'>, program = 'ssh-keygen') {
  return async function verifySignature(input: VerifySignatureInput): Promise<VerifySignatureResult> {
    const { allowedSigners } = environmentOf(config, input.environment).identity;
    if (allowedSigners === undefined)
      throw stepFailure('PreconditionFailed', `environment ${input.environment} names no identity.allowedSigners`);
    if (!/^[\p{L}\p{N}][\p{L}\p{N}@._ +-]{0,99}$/u.test(input.by))
      return { valid: false, why: 'the name holds characters that no signer has' };
    if (!input.signature.startsWith('-----BEGIN SSH SIGNATURE-----') || input.signature.length > MAX_SIGNATURE)
      return { valid: false, why: 'it is not an ssh signature' };
    await requireReadable(allowedSigners);
    return verifyIn(await mkdtemp(path.join(os.tmpdir(), 'pgr-signature-')), program, allowedSigners, input);
  };
}

async function requireReadable(file: string): Promise<void> {
  try {
    await access(file, constants.R_OK);
  } catch (cause) {
    throw stepFailure('PreconditionFailed', `the file of allowed signers ${file} cannot be read`, {
      hint: 'write it (one line each: NAME ssh-ed25519 KEY) where the orchestrator worker runs, then decide again',
      cause,
    });
  }
}

async function verifyIn(
  directory: string,
  program: string,
  allowedSigners: string,
  { by, text, signature }: VerifySignatureInput,
): Promise<VerifySignatureResult> {
  try {
    const signatureFile = path.join(directory, 'signature');
    await writeFile(signatureFile, `${signature.trim()}\n`, { mode: 0o600 });
    const args = verifyArgs({ allowedSigners, by, signatureFile });
    const result = await runProgram(program, args, { input: text, timeoutMs: TIMEOUT_MS });
    if (result.timedOut || result.signal !== null)
      throw stepFailure('CommandFailed', `${program} did not end by itself while it checked a signature`);
    // Both must say so: the exit code and the sentence with the name.
    const said = result.stdout.startsWith(`Good "${SIGNATURE_NAMESPACE}" signature for ${by} `);
    return result.exitCode === 0 && said
      ? { valid: true, why: null }
      : { valid: false, why: reasonOf(result.stderr, by) };
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/** Only the first line is of use, and it names no file of ours. */
function reasonOf(stderr: string, by: string): string {
  const line = stderr.trim().split('\n')[0] ?? '';
  if (line.includes('incorrect signature')) return 'the signature is over another text, code or run';
  if (line.includes('namespace')) return `the signature was not made for ${SIGNATURE_NAMESPACE} (ssh-keygen -n)`;
  if (line.includes('parse') || line.includes('armor')) return 'it is not a complete ssh signature';
  return `no key of ${by} among the allowed signers made this signature`;
}
