/** The newest COMMIT of an archive: the upper end of the window. */
import type { TransactionPoint } from '../../shared/contracts/plan.js';
import { parseSegmentName } from '../../shared/timeline.js';
import { archiveStretches, type Run } from './holes.js';
import { readHistory, type StoreContext } from './timeline-archive.js';
import { timelineSpans } from './timeline-chain.js';
import { listWalFiles } from './wal-archive.js';
import { transactionPoint, type WalRecord } from './waldump-record.js';
import { createWalReader, type WalReader } from './waldump-segments.js';

export type LastCommitInput = { timeline: number; scratchDir: string; binDir: string; walSegmentBytes: number };

/** Segments looked at first; an idle system archives segments without a commit, so the look grows by doubling. */
const FIRST_LOOK = 1;

/** Last COMMIT that begins in `run`, null when there is none. Reads from the end, and only as far back as it must. */
export async function findLastCommit(reader: WalReader, run: Run): Promise<WalRecord | null> {
  const seen: { commit: WalRecord | null } = { commit: null };
  let end = run.length;
  for (let look = FIRST_LOOK; end > 0 && seen.commit === null; look *= 2) {
    const start = Math.max(0, end - look);
    // One segment more than wanted: a record may begin in the last one and end in the next.
    await reader.read(run.slice(start, end + 1), ['Transaction'], (record) => {
      if (record.kind === 'commit') seen.commit = record;
      return undefined;
    });
    end = start;
  }
  return seen.commit;
}

/** First COMMIT that begins in `run`, null when there is none. */
export async function findFirstCommit(reader: WalReader, run: Run): Promise<WalRecord | null> {
  const seen: { commit: WalRecord | null } = { commit: null };
  let start = 0;
  for (let look = FIRST_LOOK; start < run.length && seen.commit === null; look *= 2) {
    const end = Math.min(run.length, start + look);
    await reader.read(run.slice(start, end + 1), ['Transaction'], (record) => {
      if (record.kind !== 'commit') return undefined;
      seen.commit = record;
      return 'stop';
    });
    start = end;
  }
  return seen.commit;
}

/**
 * Last committed transaction in the archive on `timeline` (its ancestors included), null when the archive holds none. Errors as `BackupStore`:
 * an archive that cannot be read throws, it is never "none".
 */
export async function lastCommit(context: StoreContext, input: LastCommitInput): Promise<TransactionPoint | null> {
  const { objects, walPrefix } = context;
  const { timeline, walSegmentBytes } = input;
  const files = await listWalFiles(objects, walPrefix);
  const { switches } = await readHistory(objects, files, timeline);
  const spans = timelineSpans(timeline, switches);
  const numbers = files.flatMap(({ name }) => parseSegmentName(name, walSegmentBytes)?.number ?? []);
  const first = numbers.reduce((least, number) => (number < least ? number : least), numbers[0] ?? 0n);
  const { runs } = archiveStretches(spans, files, first, walSegmentBytes);
  const reader = createWalReader({ ...input, objects, systemIdentifier: null, postgresMajor: null });
  for (const run of runs.toReversed()) {
    const found = await findLastCommit(reader, run);
    if (found !== null) return transactionPoint(found, walSegmentBytes);
  }
  return null;
}
