/**
 * Where a lab really lies. As root the servers run as another user, who cannot enter a checkout below /root or a private temporary
 * directory: then the lab lies below /var/tmp, and the directory that was named is a symbolic link to it.
 */
import { createHash } from 'node:crypto';
import { lstat, mkdir, readdir, realpath, rm, rmdir, symlink } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';

import { PgrFailure } from '../shared/pgr-failure.js';
import { canUse, type ServerUser } from './server-user.js';

export type LabLocation = {
  /** As the user named it, absolute. */
  shownDir: string;
  /** Without symbolic links. */
  realDir: string;
};

const OUTSIDE = '/var/tmp';

/** Directory below /var/tmp for a lab that is named `shownDir`. */
export function outsideDirFor(shownDir: string): string {
  return join(OUTSIDE, `pgr-lab-${createHash('sha256').update(shownDir).digest('hex').slice(0, 12)}`);
}

/** The place of an existing lab, null when nothing is there (or only a link to nothing). */
export async function findLocation(dir: string): Promise<LabLocation | null> {
  const shownDir = resolve(dir);
  try {
    return { shownDir, realDir: await realpath(shownDir) };
  } catch {
    return null;
  }
}

/** Makes the directory where the servers' user can reach it. */
export async function makeLocation(
  dir: string,
  serverUser: ServerUser | null,
  note: (text: string) => void,
): Promise<LabLocation> {
  const shownDir = resolve(dir);
  const existing = await findLocation(dir);
  if (existing !== null && (await canUse(existing.realDir, serverUser))) return existing;
  if (existing === null) {
    // A link to nothing: whoever emptied /var/tmp left it.
    if (await isLink(shownDir)) await rm(shownDir, { force: true });
    await mkdir(shownDir, { recursive: true, mode: 0o755 });
    if (await canUse(shownDir, serverUser)) return { shownDir, realDir: await realpath(shownDir) };
  }
  return linkOutside(shownDir, serverUser, note);
}

async function linkOutside(
  shownDir: string,
  serverUser: ServerUser | null,
  note: (text: string) => void,
): Promise<LabLocation> {
  const link = join(await realpath(dirname(shownDir)), shownDir.slice(dirname(shownDir).length + 1));
  const realDir = outsideDirFor(link);
  await mkdir(realDir, { mode: 0o755 }).catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  });
  await requireOwnDirectory(realDir);
  if (!(await canUse(realDir, serverUser))) {
    throw new PgrFailure(
      'PreconditionFailed',
      `user ${serverUser?.name ?? ''} can reach neither ${shownDir} nor ${realDir}`,
      {
        hint: 'name a directory that every user can enter: `pgr lab up --dir /srv/pgr-lab`',
      },
    );
  }
  if (!(await isLink(shownDir))) {
    await removeEmpty(shownDir);
    await symlink(realDir, shownDir);
    note(
      `user ${serverUser?.name ?? ''} cannot reach ${shownDir}, so the lab lies in ${realDir} (${shownDir} is a link to it)`,
    );
  }
  return { shownDir, realDir };
}

/** /var/tmp is open to everybody: a directory or link that another user put there is not used. */
async function requireOwnDirectory(dir: string): Promise<void> {
  const found = await lstat(dir);
  if (found.isDirectory() && found.uid === process.getuid?.()) return;
  throw new PgrFailure('NotAllowed', `${dir} is not a directory of ours`, {
    hint: 'name another directory with --dir',
  });
}

async function removeEmpty(dir: string): Promise<void> {
  const names = await readdir(dir).catch(() => []);
  if (names.length > 0) {
    throw new PgrFailure('PreconditionFailed', `${dir} is not empty and the servers' user cannot enter it`, {
      hint: 'name a directory that every user can enter: `pgr lab up --dir /srv/pgr-lab`',
    });
  }
  await rmdir(dir).catch(() => undefined);
}

async function isLink(path: string): Promise<boolean> {
  return lstat(path).then(
    (found) => found.isSymbolicLink(),
    () => false,
  );
}

/** Removes the directory of a lab and the link to it. */
export async function removeLocation(location: LabLocation): Promise<void> {
  await rm(location.realDir, { recursive: true, force: true, maxRetries: 5 });
  if (await isLink(location.shownDir)) await rm(location.shownDir, { force: true });
}
