/** Reads stretches of archived WAL, batch by batch: fetched in parallel, one pg_waldump over all segments of a batch. */
import { readFile } from 'node:fs/promises';
import path from 'node:path';

import { type Lsn } from '../../shared/lsn.js';
import { segmentNumberOf } from '../../shared/timeline.js';
import { stepFailure } from '../lib/failure.js';
import type { ArchiveSegment } from './holes.js';
import { walCorrupt } from './wal-archive.js';
import { runWaldump, type VisitRecord, type WaldumpEnd } from './waldump.js';
import type { ResourceManager } from './waldump-command.js';
import { isUnwrittenFrom, parseComplaint, recordLeaves, recordSpansAll } from './waldump-end.js';
import { positionOf, type WalRecord } from './waldump-record.js';
import { createWalScratch, type ScratchDeps, type WalScratch } from './waldump-scratch.js';

export interface WalReader {
  readonly walSegmentBytes: number;
  /**
   * Hands over the records that begin in `segments` (consecutive, oldest first), in order, each once. The end of what was ever written is an
   * end; anything unreadable before it is a WalCorrupt failure that names the segment.
   */
  read(
    segments: readonly ArchiveSegment[],
    managers: readonly ResourceManager[],
    visit: (record: WalRecord) => 'stop' | undefined,
  ): Promise<void>;
  /** The first record that starts at `lsn` or after it in `segment`, null when none does. */
  firstRecordAt(segment: ArchiveSegment, lsn: Lsn): Promise<WalRecord | null>;
}

type ReaderDeps = ScratchDeps & { binDir: string };
type Reader = ReaderDeps & { scratch: WalScratch };

/** Segments of one pg_waldump run: the next ones are fetched meanwhile. */
const BATCH = 4;

/** A reader over one scratch directory; the caller removes the directory. */
export function createWalReader(deps: ReaderDeps): WalReader {
  const reader: Reader = { ...deps, scratch: createWalScratch(deps) };
  return {
    walSegmentBytes: deps.walSegmentBytes,
    read: (segments, managers, visit) => readAll(reader, segments, managers, visit),
    firstRecordAt: (segment, lsn) => firstRecordAt(reader, segment, lsn),
  };
}

async function firstRecordAt(reader: Reader, segment: ArchiveSegment, lsn: Lsn): Promise<WalRecord | null> {
  const { scratch, binDir } = reader;
  const seen: { record: WalRecord | null } = { record: null };
  const name = scratch.fileName(segment.number);
  try {
    await scratch.hold([segment]);
    const range = { dir: scratch.dir, firstSegment: name, lastSegment: name, managers: [], startLsn: lsn };
    await runWaldump(binDir, range, (record) => {
      seen.record = record;
      return 'stop';
    });
    return seen.record;
  } finally {
    scratch.release([segment]);
  }
}

async function readAll(
  reader: Reader,
  segments: readonly ArchiveSegment[],
  managers: readonly ResourceManager[],
  visit: VisitRecord,
): Promise<void> {
  const state = { stopped: false, last: null as WalRecord | null };
  for (let start = 0; start < segments.length && !state.stopped; start += BATCH) {
    const next = segments.slice(start + BATCH, start + 2 * BATCH);
    const ahead = reader.scratch.hold(next).catch(() => undefined); // asked for again, and then heard, by the next batch
    // A record that begins at the end of a batch and ends in the next one is printed only by a run that has both segments, so the
    // last segment is read again with the next batch, without what was seen of it.
    const batch = segments.slice(Math.max(0, start - 1), start + BATCH);
    const seen = state.last === null ? -1n : positionOf(state.last);
    let skipping = start > 0;
    try {
      await readBatch(reader, { segments: batch, managers }, (record) => {
        if (skipping && positionOf(record) <= seen) return undefined;
        skipping = false;
        state.last = record;
        const answer = visit(record);
        state.stopped = answer === 'stop';
        return answer;
      });
    } finally {
      await ahead;
      reader.scratch.release(next);
    }
  }
}

type Batch = { segments: readonly ArchiveSegment[]; managers: readonly ResourceManager[] };

async function readBatch(reader: Reader, batch: Batch, visit: VisitRecord): Promise<void> {
  const { scratch, binDir } = reader;
  const { segments, managers } = batch;
  const first = segments[0];
  const last = segments.at(-1);
  if (first === undefined || last === undefined) return;
  try {
    await scratch.hold(segments);
    const end = await runWaldump(
      binDir,
      {
        dir: scratch.dir,
        firstSegment: scratch.fileName(first.number),
        lastSegment: scratch.fileName(last.number),
        managers,
        ...(last.endLsn === null ? {} : { endLsn: last.endLsn }),
      },
      visit,
    );
    if (end.exitCode !== 0) await judgeEnd(reader, segments, end);
  } finally {
    scratch.release(segments);
  }
}

/** Returns when the WAL ends where pg_waldump stopped; throws when it is damaged there. */
async function judgeEnd(reader: Reader, segments: readonly ArchiveSegment[], end: WaldumpEnd): Promise<void> {
  const complaint = parseComplaint(end.stderr);
  const [first] = segments;
  if (complaint === null || first === undefined) {
    throw stepFailure(
      'CommandFailed',
      `pg_waldump ended with ${String(end.exitCode)}: ${end.stderr.trim().slice(-400)}`,
    );
  }
  const { lsn, message } = complaint;
  if (lsn === null) {
    if (isGrowing(first)) return;
    const none = /could not find a valid record/.test(message);
    if (none && recordSpansAll(await contentOf(reader, first), segments.length)) return;
    throw walCorrupt(first.file, `cannot be read: ${message}`);
  }
  const number = segmentNumberOf(lsn, reader.walSegmentBytes);
  const stoppedIn = segments.find((segment) => segment.number === number) ?? first;
  const start = stoppedIn.number * BigInt(reader.walSegmentBytes);
  if (isGrowing(stoppedIn) || (await endsInGrowing(reader, segments, stoppedIn, lsn))) return;
  if (stoppedIn.isNewest && isUnwrittenFrom(await contentOf(reader, stoppedIn), start, lsn)) return;
  throw walCorrupt(stoppedIn.file, `cannot be read on: ${message}`);
}

/** The segment that a receiver is writing ends where the last piece did that came, whatever that cut in two. */
function isGrowing({ isNewest, file }: ArchiveSegment): boolean {
  return isNewest && file.isGrowing === true;
}

/** The record at `lsn` goes on in the segment that is still being written. */
async function endsInGrowing(
  reader: Reader,
  segments: readonly ArchiveSegment[],
  stoppedIn: ArchiveSegment,
  lsn: Lsn,
): Promise<boolean> {
  const next = segments.find(({ number }) => number === stoppedIn.number + 1n);
  if (next === undefined || !isGrowing(next)) return false;
  return recordLeaves(await contentOf(reader, stoppedIn), stoppedIn.number * BigInt(reader.walSegmentBytes), lsn);
}

function contentOf({ scratch }: Reader, segment: ArchiveSegment): Promise<Buffer> {
  return readFile(path.join(scratch.dir, scratch.fileName(segment.number)));
}
