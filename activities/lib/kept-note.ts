/**
 * The note beside data that were set aside (`<dataDir>.kept-<13>.json`): what they are, which run put them there, and how to get them back by
 * hand. Written by promotions (rename) and by the snapshot providers `directory` and `btrfs`; all of them read those of the others.
 */
import { stepFailure } from './failure.js';

export type KeptNote = {
  api: 1;
  environment: string;
  node: string;
  run: string;
  runId: string;
  dataDir: string;
  keptDataDir: string;
  systemIdentifier: string;
  /** State of the cluster as pg_controldata said it; {@link NOTHING_TO_KEEP} when there was no data directory to keep. */
  clusterState: string;
  timeline: number;
  howToReturn: string;
  /** Notes of promotions have none of these: they rename, and the time of the note is that of the copy. */
  provider?: 'directory' | 'btrfs';
  host?: string;
  createdAt?: string;
  /** State, timeline and positions in pg_control when the copy was taken: data that still say the same were not touched since. */
  mark?: string;
};

/** State in the note, and in results, when there was nothing to keep: the disk was lost or is new. */
export const NOTHING_TO_KEEP = 'absent';

/** Understands the text of a note. Throws SafetyCopyMissing when it cannot be understood. */
export function parseKeptNote(text: string, file: string): KeptNote {
  try {
    const value = JSON.parse(text) as Partial<KeptNote> | null;
    if (value?.api === 1 && typeof value.clusterState === 'string') return value as KeptNote;
  } catch {
    // said below
  }
  throw stepFailure('SafetyCopyMissing', `${file} is damaged; it should say what the kept data are`);
}
