/**
 * `secret.key` in the data directory of a controller. A controller that starts without one makes its own, and then nothing opens the old bucket; so the
 * file is only ever made, never replaced.
 */
import { createHash } from 'node:crypto';
import { link, mkdir, open, readFile, rm, stat } from 'node:fs/promises';
import path from 'node:path';

import { stepFailure } from '../../lib/failure.js';
import { faultPoint } from '../../lib/fault-points.js';
import { errorCodeOf } from '../../../shared/error-code.js';

export const FAULT_KEY_WRITTEN = 'controller-key:written';

/** First 16 hex digits of the SHA-256 of the key: enough to compare by, and of 244 random bits nothing can be told from it. */
export function fingerprintOf(key: string): string {
  return createHash('sha256').update(key).digest('hex').slice(0, 16);
}

/** Where the key of a controller lies. */
export function keyPathOf(dataDir: string): string {
  return path.join(dataDir, 'secret.key');
}

/** Fingerprint of the key that lies there, byte by byte; null when there is none. */
export async function readKeyFingerprint(dataDir: string): Promise<string | null> {
  try {
    return fingerprintOf(await readFile(keyPathOf(dataDir), 'latin1'));
  } catch (error) {
    if (errorCodeOf(error) === 'ENOENT') return null;
    throw stepFailure('PreconditionFailed', `cannot read ${keyPathOf(dataDir)}: ${textOf(error)}`, {
      hint: 'let the worker of the controller host run as the owner of the data directory, or as root',
      cause: error,
    });
  }
}

/**
 * Makes the file with mode 0600, flushed, for the owner of the directory. Twice is once; a key that is another one is refused with IdentityMismatch and
 * stays as it is.
 */
export async function placeKey(dataDir: string, key: string): Promise<'placed' | 'already-there'> {
  const wanted = fingerprintOf(key);
  const before = await readKeyFingerprint(dataDir);
  if (before !== null) {
    requireSameKey(dataDir, before, wanted);
    return 'already-there';
  }
  // As docker makes it: other users of the container have to pass through to what is theirs.
  await mkdir(dataDir, { recursive: true, mode: 0o755 });
  const temporary = `${keyPathOf(dataDir)}.pgr-new`;
  await writeNew(temporary, key, await stat(dataDir));
  faultPoint(FAULT_KEY_WRITTEN);
  try {
    // A link does not replace: a key that a controller made in this moment stays, and is refused below.
    await link(temporary, keyPathOf(dataDir));
  } catch (error) {
    if (errorCodeOf(error) !== 'EEXIST') throw error;
  }
  await rm(temporary, { force: true });
  await flushDirectory(dataDir);
  requireSameKey(dataDir, await readKeyFingerprint(dataDir), wanted);
  return 'placed';
}

/** Throws IdentityMismatch unless the key that lies there is the wanted one. */
export function requireSameKey(dataDir: string, found: string | null, wanted: string): void {
  if (found === wanted) return;
  const file = keyPathOf(dataDir);
  if (found === null) {
    throw stepFailure('IdentityMismatch', `there is no key at ${file}`, {
      hint: 'somebody took it away; nothing was started: `pgr abort`, then `pgr restore-controller` again',
    });
  }
  throw stepFailure(
    'IdentityMismatch',
    `${file} holds another key (fingerprint ${found}) than the one in escrow (${wanted}); it was not touched`,
    {
      hint: 'a controller that started without a key made its own, or an editor added a newline: stop its container, move the whole data directory aside by hand, then start again',
    },
  );
}

async function writeNew(file: string, text: string, { uid, gid }: { uid: number; gid: number }): Promise<void> {
  await rm(file, { force: true });
  const handle = await open(file, 'wx', 0o600);
  try {
    await handle.writeFile(text, 'latin1');
    if (process.getuid?.() === 0) await handle.chown(uid, gid);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function flushDirectory(dir: string): Promise<void> {
  const handle = await open(dir, 'r');
  await handle.sync().finally(() => handle.close());
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
