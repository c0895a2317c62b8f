/** Secrets in files: `file:/path`. */
import { open } from 'node:fs/promises';

import { errorCodeOf } from '../../shared/error-code.js';
import { stepFailure } from '../lib/failure.js';
import { requireValue } from './reference.js';

/**
 * Docker, Kubernetes and systemd hand secrets over in mounts that only the service sees; the modes of the files in them say nothing
 * (Docker: 0444, Kubernetes with fsGroup: 0440).
 */
const MOUNTED_SECRETS = /^\/(var\/)?run\/(secrets|credentials)\//;
const OTHERS = 0o007;
const GROUP = 0o070;
const GROUP_READ = 0o040;
/** A secret is a line or a key; what is larger is another file. */
const MAX_BYTES = 64 * 1024;

/** Content of the file without the line end. Throws CredentialsRefused for a file that is missing, empty, or open to others. */
export async function readSecretFile(reference: string): Promise<string> {
  const path = reference.slice('file:'.length);
  const file = await open(path, 'r').catch((cause: unknown) => {
    const code = errorCodeOf(cause) ?? 'unknown';
    throw stepFailure('CredentialsRefused', `the secret ${reference} cannot be read (${code})`, {
      hint: 'create the file, readable for the worker and for nobody else, then `pgr retry`',
    });
  });
  try {
    const stat = await file.stat();
    if (!stat.isFile()) throw stepFailure('CredentialsRefused', `the secret ${reference} is not a regular file`);
    if (stat.size > MAX_BYTES) throw stepFailure('CredentialsRefused', `the secret ${reference} is larger than 64 KiB`);
    const problem = MOUNTED_SECRETS.test(path) ? null : whyOpen(stat);
    if (problem !== null) {
      throw stepFailure('CredentialsRefused', `the secret ${reference} ${problem}`, {
        hint: `run \`chmod 600 ${path}\` and change the secret, then \`pgr retry\``,
      });
    }
    const text = await file.readFile('utf8');
    return requireValue(text.replace(/\r?\n$/, ''), reference, 'write the secret into the file, then `pgr retry`');
  } finally {
    await file.close();
  }
}

/**
 * Why a file is not kept to the worker; null when it is. A group may read a file of root (`root:pgr 0640`), the usual way to hand a secret to a
 * service: only root puts somebody into that group. Pure.
 */
export function whyOpen({ mode, uid }: { mode: number; uid: number }): string | null {
  if ((mode & OTHERS) !== 0) return 'can be read by every user of the host';
  if ((mode & GROUP) === 0) return null;
  if ((mode & GROUP) !== GROUP_READ) return 'can be changed by its group';
  return uid === 0 ? null : 'can be read by its group, and root does not own it';
}
