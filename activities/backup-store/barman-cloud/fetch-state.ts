/**
 * How far the archives of a base are on disk, in a file beside the base's directory. It survives the death of the process (not of the machine: after
 * that a sandbox is made anew), so a transfer goes on where it was.
 */
import { chownSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { z } from 'zod';

import { fetchStateFileOf } from '../../lib/backup-store.js';
import { stepFailure } from '../../lib/failure.js';
import type { BaseHeader } from '../base-catalog.js';
import type { Owner } from '../chunk-files.js';

const linkSchema = z.object({ path: z.string(), type: z.enum(['symlink', 'hardlink']), link: z.string() });

const stateSchema = z.object({
  api: z.literal(1),
  base: z.string(),
  /** SHA-256 of the base's backup.info. */
  info: z.string(),
  /** Offset in the unpacked tar up to which all members are on disk, per archive. */
  written: z.record(z.string(), z.int().nonnegative()),
  /** Archives that are on disk as a whole. */
  done: z.array(z.string()),
  /** Links are made last. */
  links: z.array(linkSchema),
  files: z.int().nonnegative(),
  isComplete: z.boolean(),
});

export type BarmanFetchState = z.output<typeof stateSchema>;

/**
 * Reads the state of `baseDir`, or starts one. Throws SandboxNotOurs when the directory has files but no state, or holds another base:
 * such files were not written by this fetch.
 */
export async function openState(baseDir: string, header: BaseHeader, owner: Owner): Promise<BarmanFetchState> {
  const { id, sha256s } = header;
  const known = readState(baseDir);
  if (known !== null) {
    if (known.base === id && known.info === sha256s.index) return known;
    throw stepFailure('SandboxNotOurs', `${baseDir} holds another base than ${id}`);
  }
  const present = await readdir(baseDir).catch(() => []);
  if (present.length > 0) {
    const some = present.slice(0, 3).join(', ');
    throw stepFailure('SandboxNotOurs', `${baseDir} holds files that were not fetched: ${some}`);
  }
  const fresh: BarmanFetchState = {
    api: 1,
    base: id,
    info: sha256s.index,
    written: {},
    done: [],
    links: [],
    files: 0,
    isComplete: false,
  };
  saveState(baseDir, fresh, owner);
  return fresh;
}

/** Replaces the state file; never earlier than the data it speaks of. */
export function saveState(baseDir: string, state: BarmanFetchState, owner: Owner): void {
  const file = fetchStateFileOf(baseDir);
  const temporary = `${file}.tmp`;
  writeFileSync(temporary, JSON.stringify(state), { mode: 0o600 });
  if (owner !== null) chownSync(temporary, owner.uid, owner.gid);
  renameSync(temporary, file);
}

function readState(baseDir: string): BarmanFetchState | null {
  let text: string;
  try {
    text = readFileSync(fetchStateFileOf(baseDir), 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null;
    throw error;
  }
  try {
    return stateSchema.parse(JSON.parse(text));
  } catch (cause) {
    throw stepFailure('SandboxNotOurs', `${fetchStateFileOf(baseDir)} was not written by this fetch`, { cause });
  }
}
