/**
 * Decoding on the calling thread. The library's buffers live outside of the JavaScript heap and are given back only by the garbage
 * collector; decoding in the thread pool left up to a gigabyte of them behind (measured), on one thread with `recycleMemory` after each
 * buffer memory stays flat, and the pages are warm, which makes it faster too.
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { gunzipSync, gzipSync } from 'node:zlib';

import { independentBlocks, lz4FrameLengths } from './codec-lz4-frames.js';

type Lz4 = {
  compressFrameSync(data: Buffer): Buffer;
  decompressFrameSync(data: Buffer): Buffer;
  uncompressSync(data: Buffer): Buffer;
};
export type Collect = (options: { type: 'minor' }) => void;

export type SyncCodec = {
  /** Compresses into `target` (from its start) and returns the bytes used; null when `target` is too small. */
  compressInto(data: Buffer, compression: 'none' | 'gz' | 'lz4', target: Buffer): number | null;
  /**
   * Decompresses `data` piece by piece: `take` gets each piece and its offset, and must not keep it. Exactly `rawBytes` must come out.
   * `data` is scratch afterwards. Throws a plain Error with what is wrong.
   */
  decompress(
    data: Buffer,
    compression: 'none' | 'gz' | 'lz4',
    rawBytes: number,
    take: (piece: Buffer, offset: number) => void,
  ): void;
};

/** A codec for the calling thread. The native library of LZ4 is loaded here; when it cannot be, only LZ4 data meets the error. */
export async function loadSyncCodec(): Promise<SyncCodec> {
  const lz4 = await import('lz4-napi').then(
    (library): Lz4 => library,
    (error: unknown): Error => (error instanceof Error ? error : new Error(String(error))),
  );
  const native = (): Lz4 => {
    if (lz4 instanceof Error) throw lz4;
    return lz4;
  };
  const collect = createCollector();
  return {
    compressInto(data, compression, target) {
      const packed = compression === 'none' ? data : packWith(compression, data, native);
      if (packed.length > target.length) return null;
      packed.copy(target);
      collect({ type: 'minor' });
      return packed.length;
    },
    decompress(data, compression, rawBytes, take) {
      if (compression === 'lz4') unpackLz4(native(), data, rawBytes, take, collect);
      else takeWhole(compression === 'none' ? data : unpackGzip(data, rawBytes), rawBytes, take);
      collect({ type: 'minor' });
    },
  };
}

function packWith(compression: 'gz' | 'lz4', data: Buffer, native: () => Lz4): Buffer {
  return compression === 'gz' ? gzipSync(data, { level: 1 }) : native().compressFrameSync(data);
}

/** One output buffer of the right size instead of a list of pieces that is joined afterwards. */
function unpackGzip(data: Buffer, rawBytes: number): Buffer {
  return gunzipSync(data, { chunkSize: Math.max(rawBytes + 64, 64), maxOutputLength: rawBytes + 64 });
}

function takeWhole(raw: Buffer, rawBytes: number, take: (piece: Buffer, offset: number) => void): void {
  if (raw.length !== rawBytes) throw new Error(`holds ${String(raw.length)} of ${String(rawBytes)} bytes`);
  take(raw, 0);
}

/**
 * Frames of independent blocks are decoded block by block: the library's block call wants the raw size in front of the block, which is
 * where the frame keeps the stored size, so it is put there in place. That allocates once per 4 MiB; its frame call grows a buffer by
 * doubling and is half as fast (measured). Other frames go through the frame call.
 */
function unpackLz4(
  lz4: Lz4,
  data: Buffer,
  rawBytes: number,
  take: (piece: Buffer, offset: number) => void,
  collect: Collect,
): void {
  const blocks = independentBlocks(data, rawBytes);
  if (blocks === null) {
    takeWhole(unpackLz4Frames(lz4, data), rawBytes, take);
    return;
  }
  let offset = 0;
  for (const { start, bytes, rawBytes: blockRawBytes, stored } of blocks) {
    if (stored) {
      take(data.subarray(start, start + bytes), offset);
    } else {
      data.writeUInt32LE(blockRawBytes, start - 4);
      const raw = lz4.uncompressSync(data.subarray(start - 4, start + bytes));
      if (raw.length !== blockRawBytes) throw new Error('an lz4 block has another size than its frame says');
      take(raw, offset);
      collect({ type: 'minor' });
    }
    offset += blockRawBytes;
  }
}

/** The library decodes the first frame only and is silent about the rest: frames are found and decoded one by one. */
export function unpackLz4Frames(lz4: Pick<Lz4, 'decompressFrameSync'>, data: Buffer): Buffer {
  const parts: Buffer[] = [];
  let offset = 0;
  for (const { bytes, skippable } of lz4FrameLengths(data)) {
    if (!skippable) parts.push(lz4.decompressFrameSync(data.subarray(offset, offset + bytes)));
    offset += bytes;
  }
  return parts.length === 1 && parts[0] !== undefined ? parts[0] : Buffer.concat(parts);
}

/** The collector of young objects (a fraction of a millisecond here), which also frees what hangs on them outside of the heap. */
export function createCollector(): Collect {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as Collect | undefined;
  return collect ?? (() => undefined);
}
