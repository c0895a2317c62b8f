/**
 * A stream of LZ4 frames (LZ4 Frame Format Description 1.6.4), block by block, in this process: on the way through a program `lz4` every byte goes through two pipes
 * more. Blocks may build on those before them, as in the streams of other programs.
 */
import { createCollector } from './codec-sync.js';
import { frameStart, FRAME_START_BYTES, type FrameStart } from './codec-lz4-frames.js';

type Lz4 = { uncompressSync(data: Uint8Array, dictionary?: Uint8Array | null): Buffer };

/** How far back a block may refer. */
const WINDOW_BYTES = 64 * 1024;
/** The result of the library is outside of the heap, and young objects hold it. */
const COLLECT_EVERY_BYTES = 4 * 1024 * 1024;

/**
 * Decompressed pieces of `source`; each belongs to the reader until it asks for the next one. Frames with checksums or a dictionary are for `otherwise`, which gets all
 * that is left. Throws a plain Error when the data is damaged or cut; failures of the source pass through.
 */
export async function* unpackLz4Stream(
  source: AsyncIterable<Buffer>,
  otherwise: (rest: AsyncIterable<Buffer>) => AsyncGenerator<Buffer>,
): AsyncGenerator<Buffer> {
  const lz4 = await import('lz4-napi');
  const iterator = source[Symbol.asyncIterator]();
  const input = createInput(iterator);
  try {
    if (await input.isAtEnd()) throw new Error('lz4 stream is cut');
    do {
      const begin = Buffer.from(await input.read(FRAME_START_BYTES));
      const frame = frameStart(begin);
      if (frame.kind === 'other') {
        yield* otherwise(input.rest(begin));
        return;
      }
      if (frame.kind === 'simple') yield* unpackBlocks(lz4, input, frame);
      else await skipFrame(input, begin);
    } while (!(await input.isAtEnd()));
  } finally {
    await iterator.return?.();
  }
}

/** Its length stands behind the magic number; of that, the first bytes were read. */
async function skipFrame(input: Input, begin: Buffer): Promise<void> {
  const length = Buffer.concat([begin.subarray(4), await input.read(8 - begin.length)]).readUInt32LE(0);
  await input.skip(length);
}

async function* unpackBlocks(
  lz4: Lz4,
  input: Input,
  { restOfHeader, blockBytes, independent }: Extract<FrameStart, { kind: 'simple' }>,
): AsyncGenerator<Buffer> {
  const collect = createCollector();
  await input.skip(restOfHeader);
  let window: Buffer | null = null;
  let sinceCollected = 0;
  for (;;) {
    const word = (await input.read(4)).readUInt32LE(0);
    if (word === 0) return;
    const bytes = word & 0x7fffffff;
    if (bytes > blockBytes) throw new Error('an lz4 block is larger than its frame allows');
    const block = await input.read(bytes, 4);
    const raw = word > 0x7fffffff ? block.subarray(4) : unpackBlock(lz4, block, blockBytes, window);
    if (!independent) window = windowAfter(window, raw);
    yield raw;
    sinceCollected += raw.length;
    if (sinceCollected < COLLECT_EVERY_BYTES) continue;
    sinceCollected = 0;
    collect({ type: 'minor' });
  }
}

/** The library wants the most that can come out in front of the block, which is where the frame keeps the stored size. */
function unpackBlock(lz4: Lz4, block: Buffer, blockBytes: number, window: Buffer | null): Buffer {
  block.writeUInt32LE(blockBytes, 0);
  return lz4.uncompressSync(block, window);
}

/** What the next block may refer to; a copy, because a stored block lies in what the next read overwrites. */
function windowAfter(window: Buffer | null, raw: Buffer): Buffer {
  const fresh = raw.subarray(Math.max(0, raw.length - WINDOW_BYTES));
  const older = window?.subarray(Math.max(0, window.length + fresh.length - WINDOW_BYTES)) ?? Buffer.alloc(0);
  return older.length === 0 ? Buffer.from(fresh) : Buffer.concat([older, fresh]);
}

type Input = ReturnType<typeof createInput>;

/** Reads by length from pieces of any length; a piece is not touched any more when the next one is asked for. */
function createInput(source: AsyncIterator<Buffer>) {
  let piece: Buffer = Buffer.alloc(0);
  let at = 0;
  const isAtEnd = async (): Promise<boolean> => {
    while (at === piece.length) {
      const next = await source.next();
      if (next.done === true) return true;
      piece = next.value;
      at = 0;
    }
    return false;
  };
  const copyTo = async (target: Buffer): Promise<void> => {
    for (let filled = 0; filled < target.length;) {
      if (await isAtEnd()) throw new Error('lz4 stream is cut');
      const copied = piece.copy(target, filled, at);
      filled += copied;
      at += copied;
    }
  };
  return {
    isAtEnd,
    /** The next `bytes`, behind `room` bytes that the caller may write to. Good until the next read. */
    async read(bytes: number, room = 0): Promise<Buffer> {
      if (piece.length - at >= bytes && at >= room) {
        at += bytes;
        return piece.subarray(at - bytes - room, at);
      }
      const made = Buffer.allocUnsafe(room + bytes);
      await copyTo(made.subarray(room));
      return made;
    },
    async skip(bytes: number): Promise<void> {
      for (let left = bytes; left > 0;) {
        if (await isAtEnd()) throw new Error('lz4 stream is cut');
        const skipped = Math.min(left, piece.length - at);
        at += skipped;
        left -= skipped;
      }
    },
    async *rest(begin: Buffer): AsyncGenerator<Buffer> {
      yield begin;
      if (at < piece.length) yield piece.subarray(at);
      for (let next = await source.next(); next.done !== true; next = await source.next()) yield next.value;
    },
  };
}
