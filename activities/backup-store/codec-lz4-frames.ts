/** The outer structure of LZ4 streams (LZ4 Frame Format Description 1.6.4): where frames and blocks begin and end. */

const FRAME_MAGIC = 0x184d2204;
const SKIPPABLE_MAGIC = 0x184d2a50;
const BLOCK_BYTES: Readonly<Record<number, number>> = { 4: 64 << 10, 5: 256 << 10, 6: 1 << 20, 7: 4 << 20 };

export type Lz4Frame = { bytes: number; skippable: boolean };

/** A block of a frame; `stored` blocks are not compressed. */
export type Lz4Block = { start: number; bytes: number; rawBytes: number; stored: boolean };

type FrameHeader = {
  headerBytes: number;
  independent: boolean;
  blockTrailer: number;
  frameTrailer: number;
  blockBytes: number;
};

/** Length of each frame, in order; throws an Error when the stream does not end with a frame (it was cut or is none). */
export function lz4FrameLengths(data: Buffer): Lz4Frame[] {
  const frames: Lz4Frame[] = [];
  let offset = 0;
  while (offset < data.length) {
    const frame = frameAt(data, offset);
    frames.push(frame);
    offset += frame.bytes;
  }
  if (offset !== data.length || frames.length === 0) throw new Error('lz4 stream is cut');
  return frames;
}

/**
 * The blocks of `data` when it is one frame of independent blocks without a checksum, written by one call over `rawBytes` bytes (so every
 * block but the last is full); null when it is anything else and must go through a frame decoder.
 */
export function independentBlocks(data: Buffer, rawBytes: number): Lz4Block[] | null {
  if (read32(data, 0) !== FRAME_MAGIC) return null;
  const header = headerAt(data, 0);
  return isSimple(header) ? blocksOf(data, header, rawBytes) : null;
}

/** What is at the start of a frame: `simple` has no checksum and needs no dictionary, `other` is for a program that knows everything. */
export type FrameStart =
  | { kind: 'skippable' }
  | { kind: 'simple'; restOfHeader: number; blockBytes: number; independent: boolean }
  | { kind: 'other' };

/** Bytes that {@link frameStart} looks at. */
export const FRAME_START_BYTES = 7;

/** Reads the first bytes of a frame; throws an Error when they are none. The shortest frame has more of them. */
export function frameStart(begin: Buffer): FrameStart {
  const magic = read32(begin, 0);
  if (magic - (magic % 16) === SKIPPABLE_MAGIC) return { kind: 'skippable' };
  if (magic !== FRAME_MAGIC) throw new Error('not an lz4 frame');
  const { headerBytes, blockBytes, blockTrailer, frameTrailer } = headerAt(begin, 0);
  const flags = begin[4] ?? 0;
  const isSimpleFrame = (flags & 0x01) === 0 && blockTrailer + frameTrailer === 0 && blockBytes > 0;
  if (!isSimpleFrame) return { kind: 'other' };
  return {
    kind: 'simple',
    restOfHeader: headerBytes - FRAME_START_BYTES,
    blockBytes,
    independent: (flags & 0x20) !== 0,
  };
}

function isSimple(header: FrameHeader): boolean {
  return header.independent && header.blockTrailer + header.frameTrailer === 0 && header.blockBytes > 0;
}

function blocksOf(data: Buffer, header: FrameHeader, rawBytes: number): Lz4Block[] | null {
  const blocks: Lz4Block[] = [];
  let offset = header.headerBytes;
  let left = rawBytes;
  for (;;) {
    const word = read32(data, offset);
    offset += 4;
    if (word === 0) break;
    const bytes = word & 0x7fffffff;
    const stored = word > 0x7fffffff;
    const blockRawBytes = Math.min(left, header.blockBytes);
    if (offset + bytes > data.length || blockRawBytes === 0 || (stored && bytes !== blockRawBytes)) return null;
    blocks.push({ start: offset, bytes, rawBytes: blockRawBytes, stored });
    offset += bytes;
    left -= blockRawBytes;
  }
  return left === 0 && offset === data.length ? blocks : null;
}

function frameAt(data: Buffer, start: number): Lz4Frame {
  const magic = read32(data, start);
  if (magic - (magic % 16) === SKIPPABLE_MAGIC) return { bytes: 8 + read32(data, start + 4), skippable: true };
  if (magic !== FRAME_MAGIC) throw new Error('not an lz4 frame');
  const header = headerAt(data, start);
  let offset = start + header.headerBytes;
  for (;;) {
    const word = read32(data, offset);
    offset += 4;
    if (word === 0) break;
    offset += (word & 0x7fffffff) + header.blockTrailer;
  }
  return { bytes: offset + header.frameTrailer - start, skippable: false };
}

function headerAt(data: Buffer, start: number): FrameHeader {
  const flags = data[start + 4] ?? 0;
  const sizes = data[start + 5] ?? 0;
  return {
    headerBytes: 7 + ((flags & 0x08) === 0 ? 0 : 8) + ((flags & 0x01) === 0 ? 0 : 4),
    independent: (flags & 0x20) !== 0 && (flags & 0x01) === 0,
    blockTrailer: (flags & 0x10) === 0 ? 0 : 4,
    frameTrailer: (flags & 0x04) === 0 ? 0 : 4,
    blockBytes: BLOCK_BYTES[(sizes >> 4) & 7] ?? 0,
  };
}

function read32(data: Buffer, offset: number): number {
  if (offset + 4 > data.length) throw new Error('lz4 stream is cut');
  return data.readUInt32LE(offset);
}
