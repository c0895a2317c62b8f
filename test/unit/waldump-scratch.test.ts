/** Scenario: segments come and go in the scratch directory of a WAL reader. Verified: what is held is there, whatever was evicted before. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import type { ArchiveSegment } from '../../activities/backup-store/holes.js';
import type { ObjectStore } from '../../activities/backup-store/s3-objects.js';
import { createWalScratch } from '../../activities/backup-store/waldump-scratch.js';
import { segmentName } from '../../shared/timeline.js';
import { SEGMENT_BYTES, segmentOf, SYSTEM_IDENTIFIER } from '../support/wal-segment.js';

function segment(number: number): ArchiveSegment {
  const name = segmentName(1, BigInt(number), SEGMENT_BYTES);
  const file = { name, key: `wal/${name}`, compression: 'none' as const, bytes: SEGMENT_BYTES, archivedAt: '' };
  return { number: BigInt(number), name, file, endLsn: null, isNewest: false };
}

/** Answers later for the segments in `late`, so that they are written after the others. */
function objectsWith(late: Set<string>): Pick<ObjectStore, 'get'> {
  return {
    async get(key) {
      const name = key.slice('wal/'.length);
      if (late.has(name)) await new Promise((resolve) => setTimeout(resolve, 50));
      return segmentOf(name);
    },
  };
}

describe('scratch directory of a wal reader', () => {
  let dir = '';
  beforeEach(async () => {
    dir = await mkdtemp(path.join(tmpdir(), 'pgr-scratch-'));
  });
  afterEach(() => rm(dir, { recursive: true, force: true }));

  const numbers = Array.from({ length: 12 }, (_, index) => index + 1);

  test.each(numbers)('segment %i, evicted and fetched again, is not taken away by the one after it', async (again) => {
    const late = new Set<string>();
    const scratch = createWalScratch({
      objects: objectsWith(late) as ObjectStore,
      scratchDir: path.join(dir, 'scratch'),
      walSegmentBytes: SEGMENT_BYTES,
      systemIdentifier: SYSTEM_IDENTIFIER,
      postgresMajor: 18,
    });
    await scratch.hold(numbers.map(segment));
    scratch.release(numbers.map(segment)); // the oldest go: several files to write over at once
    const held = [segment(again), ...[21, 22, 23, 24].map(segment)];
    for (const { name } of held.slice(1)) late.add(name);
    await scratch.hold(held);
    for (const { number, name } of held) {
      const content = await readFile(path.join(scratch.dir, scratch.fileName(number)));
      expect(content.readBigUInt64LE(8)).toBe(number * BigInt(SEGMENT_BYTES));
      expect(content.equals(segmentOf(name))).toBe(true);
    }
  });
});
