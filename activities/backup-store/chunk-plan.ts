/** Which byte ranges of a stored tar to ask for. */
import type { ChunkEntry } from './base-index.js';

/** Neighbouring chunks that are fetched with one request. `end` is inclusive, as in a Range header. */
export type ChunkGroup = { start: number; end: number; chunks: number[] };

/**
 * Groups the chunks that are not done yet into requests of at most `groupBytes` (one chunk at least). Well compressed chunks are small,
 * and a request per chunk would then be mostly round trips.
 */
export function planGroups(
  chunks: readonly ChunkEntry[],
  isDone: (chunk: number) => boolean,
  groupBytes: number,
): ChunkGroup[] {
  const groups: ChunkGroup[] = [];
  let open: ChunkGroup | null = null;
  for (const [number, { offset, bytes }] of chunks.entries()) {
    if (isDone(number)) {
      open = null;
      continue;
    }
    const end = offset + bytes - 1;
    if (open !== null && end - open.start + 1 <= groupBytes) {
      open.end = end;
      open.chunks.push(number);
      continue;
    }
    open = { start: offset, end, chunks: [number] };
    groups.push(open);
  }
  return groups;
}
