/** Data directories as directories: who owns them, what is in them, and renames that survive a power cut. */
import { chown, lstat, open, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';

import type { RunAs } from '../lib/exec.js';
import { stepFailure } from '../lib/failure.js';

export type Owner = RunAs;

export type DirectoryState = 'missing' | 'empty' | 'cluster' | 'other';

/** Owner of a file or directory. Throws NotFound when there is none. */
export async function ownerOf(target: string): Promise<Owner> {
  const facts = await stat(target).catch((error: unknown) => {
    throw stepFailure('NotFound', `cannot read ${target}: ${codeOf(error)}`);
  });
  return { uid: facts.uid, gid: facts.gid };
}

/** `{ runAs }` for a child process that must be the owner: only root may (and must) change user; PostgreSQL refuses root. */
export function runAsOwner(owner: Owner): { runAs?: Owner } {
  return process.getuid?.() === 0 ? { runAs: owner } : {};
}

/** Gives a path to `owner` when we are root; otherwise it is ours already. */
export async function giveTo(target: string, owner: Owner): Promise<void> {
  if (process.getuid?.() === 0) await chown(target, owner.uid, owner.gid);
}

/** What stands at a path: a cluster is a directory with PG_VERSION. Anything that cannot be read throws, it is not "missing". */
export async function directoryState(dir: string): Promise<DirectoryState> {
  const names = await namesIn(dir);
  if (names === null) return 'missing';
  if (names.length === 0) return 'empty';
  return names.includes('PG_VERSION') ? 'cluster' : 'other';
}

/** Names in a directory, null when it does not exist. */
export async function namesIn(dir: string): Promise<string[] | null> {
  try {
    return await readdir(dir);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return null;
    throw stepFailure('PreconditionFailed', `cannot read ${dir}: ${codeOf(error)}`, {
      hint: 'it must be a directory that the worker may read',
    });
  }
}

/** True when something (also a broken link) stands at this path. */
export async function pathExists(target: string): Promise<boolean> {
  try {
    await lstat(target);
    return true;
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return false;
    throw stepFailure('PreconditionFailed', `cannot read ${target}: ${codeOf(error)}`);
  }
}

/** Text of a file, null when there is none. */
export async function readTextIfThere(file: string): Promise<string | null> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return null;
    throw stepFailure('PreconditionFailed', `cannot read ${file}: ${codeOf(error)}`);
  }
}

/** Both in one file system, so that a rename from one to the other moves no data. */
export async function inSameFileSystem(a: string, b: string): Promise<boolean> {
  const [first, second] = await Promise.all([stat(a), stat(b)]);
  return first.dev === second.dev;
}

/**
 * Renames a directory and makes the rename durable (fsync of both parents). Refuses with PreconditionFailed when `to` exists: a
 * rename onto an empty directory would silently succeed.
 */
export async function renameDurably(from: string, to: string): Promise<void> {
  if (await pathExists(to)) throw stepFailure('PreconditionFailed', `cannot rename ${from}: ${to} exists already`);
  await rename(from, to).catch((error: unknown) => {
    throw stepFailure('PreconditionFailed', `cannot rename ${from} to ${to}: ${codeOf(error)}`, {
      hint: 'both must be in one file system, and the worker must own the directory around them',
    });
  });
  await syncDirectory(path.dirname(to));
  if (path.dirname(from) !== path.dirname(to)) await syncDirectory(path.dirname(from));
}

/** fsync of a directory: its entries (creations, renames, removals) are on disk afterwards. */
export async function syncDirectory(dir: string): Promise<void> {
  const handle = await open(dir, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Replaces a small file so that a reader, or a crash at any moment, sees either the old text or the new one. */
export async function replaceFile(file: string, text: string, owner: Owner, mode = 0o600): Promise<void> {
  await replace(file, text, owner, { mode, flush: true });
  await syncDirectory(path.dirname(file));
}

/**
 * The same without a flush, for files of a sandbox: beside a gigabyte that was just written every flush costs 50 to 300 ms (measured), and
 * after a crash of the host nothing of a sandbox is trusted anyway.
 */
export async function replaceFileUnflushed(file: string, text: string, owner: Owner): Promise<void> {
  await replace(file, text, owner, { mode: 0o600, flush: false });
}

async function replace(
  file: string,
  text: string,
  owner: Owner,
  options: { mode: number; flush: boolean },
): Promise<void> {
  const temporary = `${file}.tmp`;
  await rm(temporary, { force: true });
  await writeFile(temporary, text, options);
  await giveTo(temporary, owner);
  await rename(temporary, file);
}

/** Error code of a system call (`ENOENT`), for messages. */
export function codeOf(error: unknown): string {
  const { code, message } = (error ?? {}) as { code?: unknown; message?: unknown };
  if (typeof code === 'string') return code;
  return typeof message === 'string' ? message : 'unknown error';
}
