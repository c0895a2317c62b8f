/**
 * What one attempt of a flip leaves for the next one, on disk before the act it speaks of. `promoting` is the point of no return: from then on the
 * candidate may be a primary at any moment, whether anybody can see it or not, and the old primary must never be started again as one.
 */
import { mkdir, rm } from 'node:fs/promises';
import path from 'node:path';

import type { FlipPhase } from '../../../shared/contracts/flip.js';
import { slugFor } from '../../../shared/ids.js';
import type { Lsn } from '../../../shared/lsn.js';
import { stepFailure } from '../../lib/failure.js';
import { ownerOf, readTextIfThere, replaceFile, syncDirectory } from '../data-directory.js';
import type { Flip } from './flip-context.js';

/** A value of the candidate's postgresql.auto.conf before we changed it; null: it had none. */
export type FormerSettings = Record<string, string | null>;

export type FlipNote = {
  api: 1;
  run: string;
  runId: string;
  from: string;
  to: string;
  state: 'begun' | 'promoting' | 'flipped';
  /** When writes began to wait; null before. */
  waitingSinceMs: number | null;
  shutdownLsn: Lsn | null;
  former: FormerSettings;
  /** Slot for the old primary on the candidate that was not there before. */
  madeSlot: string | null;
  /** Set with `flipped`. */
  writeOutageMs: number | null;
  phases: FlipPhase[];
};

function noteFileOf(flip: Flip): string {
  return path.join(flip.deps.config.stateDir, 'flips', `${slugFor(flip.input.runId)}.json`);
}

/** A note with nothing done yet. */
export function newNote(flip: Flip): FlipNote {
  const { run, runId } = flip.input;
  return {
    api: 1,
    run,
    runId,
    from: flip.from.name,
    to: flip.to.name,
    state: 'begun',
    waitingSinceMs: null,
    shutdownLsn: null,
    former: {},
    madeSlot: null,
    writeOutageMs: null,
    phases: [],
  };
}

/** What an earlier attempt of this run left, null when there was none. Throws FenceFailed for a note that cannot be understood. */
export async function readNote(flip: Flip): Promise<FlipNote | null> {
  const file = noteFileOf(flip);
  const text = await readTextIfThere(file);
  if (text === null) return null;
  const note = parse(text);
  if (note !== null && note.from === flip.from.name && note.to === flip.to.name) return note;
  throw stepFailure('FenceFailed', `${file} does not speak of this flip: nobody can tell how far it came`, {
    hint: 'see who accepts writes with `pgr topology`; move the file away only when you know',
  });
}

function parse(text: string): FlipNote | null {
  try {
    const note = JSON.parse(text) as Partial<FlipNote> | null;
    const known = ['begun', 'promoting', 'flipped'].includes(note?.state ?? '');
    return note?.api === 1 && known ? (note as FlipNote) : null;
  } catch {
    return null;
  }
}

/** Durable when it returns. */
export async function writeNote(flip: Flip, note: FlipNote): Promise<void> {
  const file = noteFileOf(flip);
  await mkdir(path.dirname(file), { recursive: true, mode: 0o700 });
  const owner = await ownerOf(flip.deps.config.stateDir);
  await replaceFile(file, `${JSON.stringify(note)}\n`, owner);
}

/** Forgets an attempt that was undone. */
export async function removeNote(flip: Flip): Promise<void> {
  const file = noteFileOf(flip);
  if ((await readTextIfThere(file)) === null) return;
  await rm(file, { force: true });
  await syncDirectory(path.dirname(file));
}
