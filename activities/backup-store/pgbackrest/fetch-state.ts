/** What is known of a restore into a base's directory, in a file beside it: that the directory is ours, and whether the base is whole. */
import { chownSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { z } from 'zod';

import { fetchStateFileOf } from '../../lib/backup-store.js';
import { stepFailure } from '../../lib/failure.js';
import type { Owner } from '../chunk-files.js';

const stateSchema = z.object({
  api: z.literal(1),
  store: z.literal('pgbackrest'),
  base: z.string(),
  isComplete: z.boolean(),
});

export type PgbackrestFetchState = z.output<typeof stateSchema>;

/**
 * Reads the state of `baseDir`, or starts one. Throws SandboxNotOurs when the directory has files but no state, or holds another base:
 * such files were not written by this fetch, and a second try would remove them.
 */
export async function openState(baseDir: string, base: string, owner: Owner): Promise<PgbackrestFetchState> {
  const known = readState(baseDir);
  if (known !== null) {
    if (known.base === base) return known;
    throw stepFailure('SandboxNotOurs', `${baseDir} holds another base than ${base}`);
  }
  const present = await readdir(baseDir).catch(() => []);
  if (present.length > 0) {
    const some = present.slice(0, 3).join(', ');
    throw stepFailure('SandboxNotOurs', `${baseDir} holds files that were not fetched: ${some}`);
  }
  const fresh: PgbackrestFetchState = { api: 1, store: 'pgbackrest', base, isComplete: false };
  saveState(baseDir, fresh, owner);
  return fresh;
}

/** Replaces the state file; never earlier than the data it speaks of. */
export function saveState(baseDir: string, state: PgbackrestFetchState, owner: Owner): void {
  const file = fetchStateFileOf(baseDir);
  const temporary = `${file}.tmp`;
  writeFileSync(temporary, `${JSON.stringify(state)}\n`, { mode: 0o600 });
  if (owner !== null) chownSync(temporary, owner.uid, owner.gid);
  renameSync(temporary, file);
}

function readState(baseDir: string): PgbackrestFetchState | null {
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
