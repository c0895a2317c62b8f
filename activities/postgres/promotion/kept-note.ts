/**
 * The note beside kept data (`<dataDir>.kept-<8>.json`): what they are, which run put them aside, and how to get them back by hand. It is
 * written before the rename, so that nobody ever finds an unexplained directory.
 */
import { rm } from 'node:fs/promises';

import { parseKeptNote, type KeptNote } from '../../lib/kept-note.js';
import { readTextIfThere, replaceFile, type Owner } from '../data-directory.js';

export type { KeptNote } from '../../lib/kept-note.js';

/** Reads the note, null when there is none. Throws SafetyCopyMissing when it is there and cannot be understood. */
export async function readKeptNote(file: string): Promise<KeptNote | null> {
  const text = await readTextIfThere(file);
  return text === null ? null : parseKeptNote(text, file);
}

export async function writeKeptNote(file: string, note: KeptNote, owner: Owner): Promise<void> {
  await replaceFile(file, `${JSON.stringify(note, null, 2)}\n`, owner);
}

export async function removeKeptNote(file: string): Promise<void> {
  await rm(file, { force: true });
}
