/** Data blocks of a custom-format archive (pg_backup_custom.c): a type, the id of the entry, then chunks, each with its length, ended by one of 0. */
import type { FileHandle } from 'node:fs/promises';

const BLOCK_DATA = 1;
const BLOCK_LARGE_OBJECTS = 3;
const WINDOW_BYTES = 1024 * 1024;
/** Chunks are small (4 kB before PostgreSQL 16): they are handed on together. */
const PIECE_BYTES = 256 * 1024;

/** Where the data of an entry lie. */
export type Block = { id: number; offset: number; bytes: number };

/** Reads a file forward through a window; skips by seeking. */
class ForwardReader {
  readonly #handle: FileHandle;
  readonly #intBytes: number;
  readonly #buffer: Buffer;
  #windowAt = 0;
  #windowBytes = 0;
  /** Position of the next byte. */
  at: number;

  constructor(handle: FileHandle, intBytes: number, at: number) {
    this.#handle = handle;
    this.#intBytes = intBytes;
    this.#buffer = Buffer.allocUnsafe(WINDOW_BYTES);
    this.at = at;
  }

  /** The next byte, null at the end of the file. */
  async byte(): Promise<number | null> {
    if (!(await this.#have(1))) return null;
    const value = this.#buffer[this.at - this.#windowAt] ?? 0;
    this.at += 1;
    return value;
  }

  async int(): Promise<number> {
    const length = this.#intBytes + 1;
    if (!(await this.#have(length))) throw new CutOff(this.at);
    const from = this.at - this.#windowAt;
    const value = this.#buffer.readUIntLE(from + 1, Math.min(this.#intBytes, 6));
    const negative = this.#buffer[from] !== 0;
    this.at += length;
    return negative ? -value : value;
  }

  /** Copies the next bytes to `target`; returns how many, at most `length`. */
  async copyTo(target: Buffer, at: number, length: number): Promise<number> {
    if (!(await this.#have(1))) throw new CutOff(this.at);
    const from = this.at - this.#windowAt;
    const end = Math.min(this.#windowBytes, from + Math.min(length, target.length - at));
    this.#buffer.copy(target, at, from, end);
    this.at += end - from;
    return end - from;
  }

  async #have(length: number): Promise<boolean> {
    const from = this.at - this.#windowAt;
    if (from >= 0 && from + length <= this.#windowBytes) return true;
    const { bytesRead } = await this.#handle.read(this.#buffer, 0, WINDOW_BYTES, this.at);
    this.#windowAt = this.at;
    this.#windowBytes = bytesRead;
    return bytesRead >= length;
  }
}

/** The file ends inside of a block. */
class CutOff extends Error {
  constructor(at: number) {
    super(`it ends at byte ${String(at)}, in the middle of the data of a table`);
  }
}

/** All blocks from `start` on, by reading the length of every chunk. Throws CutOff, and Error for what is no block. */
export async function scanBlocks(handle: FileHandle, intBytes: number, start: number): Promise<Block[]> {
  const { size } = await handle.stat();
  const reader = new ForwardReader(handle, intBytes, start);
  const blocks: Block[] = [];
  for (;;) {
    const offset = reader.at;
    const type = await reader.byte();
    if (type === null) return blocks;
    if (type !== BLOCK_DATA && type !== BLOCK_LARGE_OBJECTS)
      throw new Error(`there is no block at byte ${String(offset)}`);
    const id = await reader.int();
    if (type === BLOCK_DATA) await skipChunks(reader, size);
    else while ((await reader.int()) !== 0) await skipChunks(reader, size);
    blocks.push({ id, offset, bytes: reader.at - offset });
  }
}

async function skipChunks(reader: ForwardReader, fileBytes: number): Promise<void> {
  for (;;) {
    const length = await reader.int();
    if (length === 0) return;
    if (length < 0 || reader.at + length > fileBytes) throw new CutOff(fileBytes);
    reader.at += length;
  }
}

/** The compressed data of the block, in pieces that belong to the caller at `offset`, which must be that of entry `id`. */
export async function* readBlock(
  handle: FileHandle,
  intBytes: number,
  { id, offset }: Pick<Block, 'id' | 'offset'>,
): AsyncGenerator<Buffer> {
  const reader = new ForwardReader(handle, intBytes, offset);
  const type = await reader.byte();
  const found = type === BLOCK_DATA ? await reader.int() : null;
  if (found !== id) throw new Error(`at byte ${String(offset)} there are not the data of entry ${String(id)}`);
  let piece = Buffer.allocUnsafe(PIECE_BYTES);
  let filled = 0;
  for (let left = await reader.int(); left !== 0; left = await reader.int()) {
    if (left < 0) throw new Error(`there is no chunk at byte ${String(reader.at)}`);
    while (left > 0) {
      const copied = await reader.copyTo(piece, filled, left);
      left -= copied;
      filled += copied;
      if (filled < PIECE_BYTES) continue;
      yield piece;
      piece = Buffer.allocUnsafe(PIECE_BYTES);
      filled = 0;
    }
  }
  if (filled > 0) yield piece.subarray(0, filled);
}
