/**
 * The note beside kept data (`<dataDir>.kept-<8>.json`): what they are, which run put them aside, and how to get them back by hand. It is
 * written before the rename, so that nobody ever finds an unexplained directory.
 */
import { rm } from 'node:fs/promises';

import { stepFailure } from '../../lib/failure.js';
import { readTextIfThere, replaceFile, type Owner } from '../data-directory.js';

export type KeptNote = {
  api: 1;
  environment: string;
  node: string;
  run: string;
  runId: string;
  dataDir: string;
  keptDataDir: string;
  systemIdentifier: string;
  /** State of the cluster as pg_controldata said it; `absent` when there was no data directory to keep. */
  clusterState: string;
  timeline: number;
  howToReturn: string;
};

/** Reads the note, null when there is none. Throws SafetyCopyMissing when it is there and cannot be understood. */
export async function readKeptNote(file: string): Promise<KeptNote | null> {
  const text = await readTextIfThere(file);
  if (text === null) return null;
  try {
    const value = JSON.parse(text) as Partial<KeptNote> | null;
    if (value?.api === 1 && typeof value.clusterState === 'string') return value as KeptNote;
  } catch {
    // said below
  }
  throw stepFailure('SafetyCopyMissing', `${file} is damaged; it should say what the kept data are`);
}

export async function writeKeptNote(file: string, note: KeptNote, owner: Owner): Promise<void> {
  await replaceFile(file, `${JSON.stringify(note, null, 2)}\n`, owner);
}

export async function removeKeptNote(file: string): Promise<void> {
  await rm(file, { force: true });
}
