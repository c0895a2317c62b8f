/**
 * What is known of a fetch into a base's directory, in a file beside it: that the directory is ours, and how far it is. It survives the death of the process
 * (not of the machine: after that a sandbox is made anew).
 */
import { chownSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import type { z } from 'zod';

import { fetchStateFileOf } from '../lib/backup-store.js';
import { stepFailure } from '../lib/failure.js';
import type { Owner } from './chunk-files.js';

/** Throws SandboxNotOurs when there are files in `baseDir`: nobody noted that a fetch wrote them, and a second try would remove them. */
export async function requireEmpty(baseDir: string): Promise<void> {
  const present = await readdir(baseDir).catch((error: unknown) => {
    if (isMissing(error)) return [];
    throw error;
  });
  if (present.length === 0) return;
  const some = present.slice(0, 3).join(', ');
  throw stepFailure('SandboxNotOurs', `${baseDir} holds files that were not fetched: ${some}`);
}

/**
 * Reads the state of `baseDir`, or starts one with `fresh`. Throws SandboxNotOurs when the directory has files but no state, when the state is none of this kind of
 * store, or of another base (`isSame` says no).
 */
export async function openBaseState<State extends { base: string }>(
  baseDir: string,
  schema: z.ZodType<State>,
  fresh: State,
  owner: Owner,
  isSame: (known: State) => boolean = () => true,
): Promise<State> {
  const known = readState(baseDir, schema);
  if (known !== null) {
    if (known.base === fresh.base && isSame(known)) return known;
    throw stepFailure('SandboxNotOurs', `${baseDir} holds another base than ${fresh.base}`);
  }
  await requireEmpty(baseDir);
  saveBaseState(baseDir, fresh, owner);
  return fresh;
}

/** Replaces the state file; never earlier than the data it speaks of. */
export function saveBaseState(baseDir: string, state: object, owner: Owner): void {
  const file = fetchStateFileOf(baseDir);
  const temporary = `${file}.tmp`;
  writeFileSync(temporary, JSON.stringify(state), { mode: 0o600 });
  if (owner !== null) chownSync(temporary, owner.uid, owner.gid);
  renameSync(temporary, file);
}

function readState<State>(baseDir: string, schema: z.ZodType<State>): State | null {
  const file = fetchStateFileOf(baseDir);
  try {
    return schema.parse(JSON.parse(readFileSync(file, 'utf8')));
  } catch (cause) {
    if (isMissing(cause)) return null;
    if ((cause as { syscall?: unknown } | null)?.syscall !== undefined) throw cause;
    throw stepFailure('SandboxNotOurs', `${file} was not written by this fetch`, { cause });
  }
}

function isMissing(error: unknown): boolean {
  return (error as { code?: unknown } | null)?.code === 'ENOENT';
}
