/** Directory of the unix socket: short and outside of the sandbox, because socket paths are limited to 107 bytes. */
import { createHash } from 'node:crypto';
import { lstat, mkdir, rm } from 'node:fs/promises';

import { stepFailure } from '../../lib/failure.js';
import { codeOf, giveTo, type Owner } from '../data-directory.js';

/** The same for every attempt: a function of the directory and the run. */
export function socketDirFor(sandboxDir: string, runId: string): string {
  return `/tmp/pgr-${createHash('sha256').update(`${sandboxDir}\0${runId}`).digest('hex').slice(0, 8)}`;
}

/** Makes the directory (it may be gone after a reboot). Refuses one that somebody else put there: /tmp belongs to everybody. */
export async function makeSocketDir(dir: string, owner: Owner): Promise<void> {
  try {
    await mkdir(dir, { mode: 0o700 });
    await giveTo(dir, owner);
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') throw stepFailure('PreconditionFailed', `cannot make ${dir}: ${codeOf(error)}`);
  }
  const facts = await lstat(dir);
  const allowed = [owner.uid, process.getuid?.() ?? owner.uid];
  if (!facts.isDirectory() || !allowed.includes(facts.uid) || (facts.mode & 0o077) !== 0) {
    throw stepFailure('PreconditionFailed', `${dir} is not a private directory of the sandbox's user`, {
      hint: `look at it and remove it, then \`pgr retry\``,
    });
  }
  await giveTo(dir, owner);
}

/** Removes it with what a killed server left in it. */
export async function removeSocketDir(dir: string): Promise<void> {
  if (!/^\/tmp\/pgr-[0-9a-f]{8}$/.test(dir)) return;
  const facts = await lstat(dir).catch(() => null);
  if (facts?.isDirectory() === true) await rm(dir, { recursive: true, force: true });
}
