/** From the tar stream of pg_basebackup to compressed chunks and an index of the files in them. */
import type { ChunkEntry } from './base-index.js';
import { bytesOf, type BufferPool, type Lease } from './chunk-buffers.js';
import type { ChunkPool } from './chunk-pool.js';
import { createTarIndexer, type TarEntry } from './tar-index.js';

/** Raw bytes of a chunk: a good size for a request, for LZ4, and for memory (see docs of the store layout). */
const CHUNK_RAW_BYTES = 8 * 1024 * 1024;

/** What does not compress grows a little when it is framed. */
const SLACK_BYTES = 1024 * 1024;

/** Chunks being compressed while others are read and sent. */
const CHUNKS_AHEAD = 3;

export type PackedStream = {
  /** Stored bytes in order; to be read to the end before the rest is asked for. */
  pieces: AsyncGenerator<Buffer>;
  chunks(): ChunkEntry[];
  files(): TarEntry[];
  manifest(): Buffer | null;
};

export type StreamTools = { threads: ChunkPool; buffers: BufferPool; compression: 'none' | 'gz' | 'lz4' };

type Packed = { lease: Lease; bytes: number; rawBytes: number; sha256: string };

/** Cuts `source` into chunks, compresses them on the threads, and keeps their order. `onRaw` hears of every raw byte read. */
export function packStream(
  source: AsyncIterable<Buffer>,
  tools: StreamTools,
  onRaw: (bytes: number) => void,
): PackedStream {
  const indexer = createTarIndexer(['backup_manifest']);
  const chunks: ChunkEntry[] = [];
  let offset = 0;
  let rawOffset = 0;

  async function* pieces(): AsyncGenerator<Buffer> {
    const ahead: Promise<Packed>[] = [];
    const yieldNext = async function* (): AsyncGenerator<Buffer> {
      const packed = await ahead.shift();
      if (packed === undefined) return;
      const { lease, bytes, rawBytes, sha256 } = packed;
      chunks.push({ offset, bytes, rawOffset, rawBytes, sha256 });
      offset += bytes;
      rawOffset += rawBytes;
      // A copy of the small result, so that the large buffer is free at once.
      const stored = Buffer.from(bytesOf({ ...lease, bytes }));
      tools.buffers.release(lease);
      yield stored;
    };
    for await (const { lease, bytes } of cutChunks(source, tools.buffers, (piece) => {
      indexer.feed(piece);
      onRaw(piece.length);
    })) {
      ahead.push(packChunk(tools, lease, bytes));
      if (ahead.length >= CHUNKS_AHEAD) yield* yieldNext();
    }
    while (ahead.length > 0) yield* yieldNext();
  }
  return {
    pieces: pieces(),
    chunks: () => chunks,
    files: () => indexer.end(),
    manifest: () => indexer.captured('backup_manifest'),
  };
}

async function packChunk(tools: StreamTools, lease: Lease, rawBytes: number): Promise<Packed> {
  const reply = await tools.threads.run({ kind: 'pack', lease, bytes: rawBytes, compression: tools.compression });
  return { ...reply, lease, rawBytes };
}

/** Fills buffers of the pool with exactly {@link CHUNK_RAW_BYTES}, the last one with what is left. */
async function* cutChunks(
  source: AsyncIterable<Buffer>,
  buffers: BufferPool,
  onPiece: (piece: Buffer) => void,
): AsyncGenerator<{ lease: Lease; bytes: number }> {
  let lease: Lease | null = null;
  let filled = 0;
  for await (const piece of source) {
    onPiece(piece);
    let at = 0;
    while (at < piece.length) {
      lease ??= await buffers.acquire(CHUNK_RAW_BYTES + SLACK_BYTES);
      const taken = Math.min(piece.length - at, CHUNK_RAW_BYTES - filled);
      piece.copy(bytesOf(lease), filled, at, at + taken);
      at += taken;
      filled += taken;
      if (filled < CHUNK_RAW_BYTES) continue;
      yield { lease, bytes: filled };
      lease = null;
      filled = 0;
    }
  }
  if (lease !== null) yield { lease, bytes: filled };
}
