/** Whether a backup is here, in a file beside its directory; it survives the death of the process. */
import { chownSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { z } from 'zod';

import { fetchStateFileOf } from '../../lib/backup-store.js';
import { stepFailure } from '../../lib/failure.js';
import type { Owner } from '../chunk-files.js';

const stateSchema = z.object({
  api: z.literal(1),
  store: z.literal('barman'),
  base: z.string(),
  /** How often it was begun: each attempt writes into a directory of its own, because what a killed one started may go on writing. */
  attempt: z.int().nonnegative(),
  isComplete: z.boolean(),
});

export type FetchState = z.output<typeof stateSchema>;

/** Reads the state of `baseDir`, or starts one. Throws SandboxNotOurs when it holds files of nobody, or another base. */
export async function openState(baseDir: string, id: string, owner: Owner): Promise<FetchState> {
  const known = readState(baseDir);
  if (known !== null) {
    if (known.base === id) return known;
    throw stepFailure('SandboxNotOurs', `${baseDir} holds another base than ${id}`);
  }
  const present = await readdir(baseDir).catch(() => []);
  if (present.length > 0) {
    const some = present.slice(0, 3).join(', ');
    throw stepFailure('SandboxNotOurs', `${baseDir} holds files that were not fetched: ${some}`);
  }
  const fresh: FetchState = { api: 1, store: 'barman', base: id, attempt: 0, isComplete: false };
  saveState(baseDir, fresh, owner);
  return fresh;
}

/** Replaces the state file; never earlier than the data it speaks of. */
export function saveState(baseDir: string, state: FetchState, owner: Owner): void {
  const file = fetchStateFileOf(baseDir);
  writeFileSync(`${file}.tmp`, JSON.stringify(state), { mode: 0o600 });
  if (owner !== null) chownSync(`${file}.tmp`, owner.uid, owner.gid);
  renameSync(`${file}.tmp`, file);
}

function readState(baseDir: string): FetchState | null {
  const file = fetchStateFileOf(baseDir);
  try {
    return stateSchema.parse(JSON.parse(readFileSync(file, 'utf8')));
  } catch (cause) {
    if ((cause as { code?: unknown }).code === 'ENOENT') return null;
    throw stepFailure('SandboxNotOurs', `${file} was not written by this fetch`, { cause });
  }
}
