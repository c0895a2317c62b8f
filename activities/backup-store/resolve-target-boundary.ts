/** Finds the place in a stretch of WAL where a condition on COMMIT records becomes true, reading a few segments around it. */
import type { ArchiveSegment, Run } from './holes.js';
import { positionOf, timeOf, type WalRecord } from './waldump-record.js';
import type { WalReader } from './waldump-segments.js';

/** True for a COMMIT that the target drops. The first one that is dropped ends the history that is kept, whatever stands behind it. */
export type IsDropped = (commit: WalRecord) => boolean;

export type FoundBoundary = {
  kept: WalRecord | null;
  dropped: WalRecord | null;
  /** Last COMMIT that was read; the last one of the run when `readToEnd`. */
  last: WalRecord | null;
  /** COMMITs from the first dropped one on, as far as it was read. */
  droppedCount: number;
  readToEnd: boolean;
  /** Kept commits with exactly the time of the last kept one. */
  sameInstant: number;
  /** True when a commit bears an earlier time than one before it. */
  outOfOrder: boolean;
};

/** Segments around a guess: the time of archiving says in which one a moment lies, give or take one. */
const LOOK = 3;
/** Looks with a guess; after them the rest is halved, for which the first commit of one segment tells enough. */
const GUESSED_LOOKS = 2;
/** At most this many segments behind the boundary are read to count what is lost; beyond them the count is an estimate. */
export const COUNTED_SEGMENTS = 8;

/**
 * The boundary in `run`, where segment `guess` is looked at first. Assumes that the condition, once true, is true in all later segments (inside
 * the segments that are read nothing is assumed). Reads 3 segments when the guess is right, and otherwise halves
 * the rest of the run with every look; reads to the end of the run when that is near.
 */
export async function findBoundary(
  reader: WalReader,
  run: Run,
  isDropped: IsDropped,
  guess: number,
): Promise<FoundBoundary> {
  const last = run.length - 1;
  const known: Known = { kept: 0, dropped: last };
  let size = LOOK;
  let center = Math.min(Math.max(guess, 0), last);
  for (let look = 0; ; look += 1) {
    const { from, to } = rangeAround(center, size, known);
    // The first guess is usually right, so what is counted afterwards anyway is read in the same go.
    const end = look === 0 && last - to <= COUNTED_SEGMENTS ? last : to;
    const found = await readBoundary(reader, run.slice(from, end + 1), isDropped);
    if ((found.kept !== null || from === 0) && (found.dropped !== null || end === last)) {
      return end === last ? { ...found, readToEnd: true } : countRest(reader, run, isDropped, found);
    }
    const width = known.dropped - known.kept;
    if (found.kept !== null) known.kept = indexOf(run, found.kept, reader);
    if (found.dropped !== null) known.dropped = indexOf(run, found.dropped, reader);
    size = nextSize(look, size, width, known);
    center = nextCenter(look, from, found, known);
  }
}

/** Indexes of segments that are known to hold a kept and a dropped commit; the ends of the run as long as none is known. */
type Known = { kept: number; dropped: number };

function rangeAround(center: number, size: number, known: Known): { from: number; to: number } {
  const from = Math.max(known.kept, Math.min(center - Math.floor(size / 2), known.dropped));
  return { from, to: Math.min(known.dropped, from + size - 1) };
}

/**
 * A look that told nothing new (segments without a commit) is widened until it does, or spans all that is between the known ones. What is few
 * enough is read as a whole.
 */
function nextSize(look: number, size: number, width: number, known: Known): number {
  const left = known.dropped - known.kept;
  if (left >= width) return size * 2;
  return left < LOOK || look + 1 < GUESSED_LOOKS ? LOOK : 1;
}

/** Next to the first look, because the guess is rarely far off; then halfway. */
function nextCenter(look: number, from: number, found: FoundBoundary, known: Known): number {
  const isNear = look === 0 && (found.kept === null) !== (found.dropped === null);
  if (isNear) return found.kept === null ? from - 1 : known.kept + 1;
  return Math.floor((known.kept + known.dropped) / 2);
}

function indexOf(run: Run, record: WalRecord, reader: WalReader): number {
  const first = run[0]?.number ?? 0n;
  return Number(positionOf(record) / BigInt(reader.walSegmentBytes) - first);
}

/** Counts to the end of the run when that is near. */
async function countRest(
  reader: WalReader,
  run: Run,
  isDropped: IsDropped,
  found: FoundBoundary,
): Promise<FoundBoundary> {
  if (found.dropped === null) return found;
  const from = indexOf(run, found.dropped, reader);
  if (run.length - from > COUNTED_SEGMENTS) return found;
  const rest = await readBoundary(reader, run.slice(from), isDropped);
  return { ...found, last: rest.last, droppedCount: rest.droppedCount, readToEnd: true };
}

/** Reads consecutive segments once and folds their COMMITs. */
async function readBoundary(
  reader: WalReader,
  segments: readonly ArchiveSegment[],
  isDropped: IsDropped,
): Promise<FoundBoundary> {
  const found: FoundBoundary = {
    kept: null,
    dropped: null,
    last: null,
    droppedCount: 0,
    readToEnd: false,
    sameInstant: 0,
    outOfOrder: false,
  };
  let lastTime = '';
  await reader.read(segments, ['Transaction'], (record) => {
    if (record.kind !== 'commit') return undefined;
    const time = timeOf(record);
    if (time < lastTime) found.outOfOrder = true;
    if (found.dropped === null && isDropped(record)) found.dropped = record;
    if (found.dropped !== null) found.droppedCount += 1;
    else {
      found.sameInstant = time === lastTime ? found.sameInstant + 1 : 1;
      found.kept = record;
    }
    found.last = record;
    lastTime = time;
    return undefined;
  });
  return found;
}
