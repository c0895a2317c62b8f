/** Archived segments as plain files in a scratch directory, where pg_waldump can read them. */
import { renameSync } from 'node:fs';
import { mkdir, rename, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { segmentName } from '../../shared/timeline.js';
import type { ArchiveSegment } from './holes.js';
import { createLimit } from './limit.js';
import type { ObjectStore } from './s3-objects.js';
import { readWalFile, walCorrupt } from './wal-archive.js';
import { problemOfSegment } from './wal-page.js';

export type ScratchDeps = {
  objects: ObjectStore;
  scratchDir: string;
  walSegmentBytes: number;
  /** Null: any is accepted, because nobody knows it yet. */
  systemIdentifier: string | null;
  postgresMajor: number | null;
};

export interface WalScratch {
  readonly dir: string;
  /** Name of a segment's file: all bear timeline 1, so that one pg_waldump can read across a switch of timelines. */
  fileName(number: bigint): string;
  /** Puts the segments there, each fetched once, and keeps them until `release`. */
  hold(segments: readonly ArchiveSegment[]): Promise<void>;
  /** Ends one `hold` of these segments: their files may be written over. */
  release(segments: readonly ArchiveSegment[]): void;
}

/** Hides most of the round trip of an object store; each costs the memory of one segment, stored and unpacked. */
const FETCHES_AT_ONCE = 2;
/**
 * Files kept for a second look. Later segments are written over the oldest ones: memory that the page cache holds already takes 16 MiB in 3 ms,
 * new memory in 20 to 50 ms (measured).
 */
const KEPT_FILES = 8;

type Placed = { ready: Promise<void>; written: boolean; holders: number };

/** A scratch directory for one question to the archive; the caller removes the directory. */
export function createWalScratch(deps: ScratchDeps): WalScratch {
  const placed = new Map<bigint, Placed>();
  const spare: string[] = [];
  let evicted = 0;
  const limit = createLimit(FETCHES_AT_ONCE);
  const fileName = (number: bigint): string => segmentName(1, number, deps.walSegmentBytes);
  const file = (number: bigint): string => path.join(deps.scratchDir, fileName(number));
  const place = async (segment: ArchiveSegment): Promise<void> => {
    try {
      const content = await readSegment(deps, segment);
      const target = file(segment.number);
      const old = spare.pop();
      if (old !== undefined) await rename(old, target);
      await writeFile(target, content, { mode: 0o600, flag: old === undefined ? 'w' : 'r+' });
      const now = placed.get(segment.number);
      if (now !== undefined) now.written = true;
    } catch (error) {
      placed.delete(segment.number); // a later look tries again
      throw error;
    }
  };
  return {
    dir: deps.scratchDir,
    fileName,
    async hold(segments) {
      await mkdir(deps.scratchDir, { recursive: true, mode: 0o700 });
      const all = segments.map((segment) => {
        const known = placed.get(segment.number) ?? {
          ready: limit(() => place(segment)),
          written: false,
          holders: 0,
        };
        known.holders += 1;
        placed.set(segment.number, known);
        return known.ready;
      });
      await Promise.all(all);
    },
    release(segments) {
      for (const { number } of segments) {
        const known = placed.get(number);
        if (known !== undefined) known.holders -= 1;
      }
      for (const [number, { holders, written }] of placed) {
        if (placed.size <= KEPT_FILES) return;
        if (holders > 0 || !written) continue;
        placed.delete(number);
        // A name of its own, at once: the segment may be asked for again while another one is about to take this file.
        const old = path.join(deps.scratchDir, `spare-${String((evicted += 1))}`);
        renameSync(file(number), old);
        spare.push(old);
      }
    },
  };
}

/** Content of one segment, proven to be the segment that its name says. */
async function readSegment(deps: ScratchDeps, segment: ArchiveSegment): Promise<Buffer> {
  const { objects, walSegmentBytes, systemIdentifier, postgresMajor } = deps;
  const content = await readWalFile(objects, segment.file, walSegmentBytes);
  const name = segment.name.slice(0, 24);
  const problem = problemOfSegment(content, { name, segmentBytes: walSegmentBytes, systemIdentifier, postgresMajor });
  if (problem !== null) throw walCorrupt(segment.file, problem);
  return content;
}
