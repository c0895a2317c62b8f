/**
 * Reads the outer tar of a restore stream. Go's writer gives files of 8 GiB and more a pax header with their size. A stream that ends anywhere but
 * behind the end mark of the tar was cut: the controller swallows errors after the first byte, with status 200 (measured).
 */
import { createHash, type Hash } from 'node:crypto';

import { parsePax, readTarHeader, TAR_BLOCK } from '../barman-cloud/tar-header.js';
import { createByteReader, type ByteReader } from '../databasus/byte-reader.js';

export type StreamEntry = {
  path: string;
  size: number;
  /** The content, once. What is left unread is skipped. */
  content: AsyncGenerator<Buffer>;
};

/** The stream ended too early, or is no tar: nothing of it may be used. */
export class CutStream extends Error {
  override readonly name = 'CutStream';
}

const PIECE_BYTES = 1024 * 1024;
const LARGEST_PAX_BYTES = 1024 * 1024;

/** Hands over the files in their order, one at a time. Returns the SHA-256 (hex) of each, by path, in order. Throws CutStream. */
export async function readEntries(
  source: AsyncIterable<Buffer>,
  use: (entry: StreamEntry) => Promise<void>,
): Promise<Map<string, string>> {
  const reader = createByteReader(source);
  const sums = new Map<string, string>();
  for (let header = await nextHeader(reader); header !== null; header = await nextHeader(reader)) {
    const { path, size } = header;
    if (sums.has(path)) throw new CutStream(`has ${path} twice`);
    const left = { bytes: size, hash: createHash('sha256') };
    const content = contentOf(reader, path, size, left);
    await use({ path, size, content });
    await skipRest(contentOf(reader, path, size, left));
    sums.set(path, left.hash.digest('hex'));
    await whole(reader, (TAR_BLOCK - (size % TAR_BLOCK)) % TAR_BLOCK);
  }
  // Up to the end of the body: what the server says there is heard too.
  for (let rest = await reader.some(PIECE_BYTES); rest.length > 0;) rest = await reader.some(PIECE_BYTES);
  return sums;
}

/** Null at the end mark. */
async function nextHeader(reader: ByteReader): Promise<{ path: string; size: number } | null> {
  for (let pax = new Map<string, string>(); ;) {
    const block = await reader.read(TAR_BLOCK);
    if (block.length < TAR_BLOCK) throw new CutStream(`ends after ${String(reader.taken())} bytes without an end mark`);
    const header = headerOf(block);
    if (header === null) return null;
    if (header.type === 'x' || header.type === 'g') {
      if (header.size > LARGEST_PAX_BYTES) throw new CutStream('has a header with an impossible size');
      const records = await whole(reader, header.size);
      await whole(reader, (TAR_BLOCK - (header.size % TAR_BLOCK)) % TAR_BLOCK);
      if (header.type === 'x') pax = parsePax(records);
      continue;
    }
    const size = Number(pax.get('size') ?? header.size);
    const path = pax.get('path') ?? header.name;
    if (!['0', '\0'].includes(header.type) || !Number.isSafeInteger(size)) {
      throw new CutStream(`has an entry of an unknown kind, ${path}`);
    }
    return { path, size };
  }
}

type Left = { bytes: number; hash: Hash };

async function* contentOf(reader: ByteReader, path: string, size: number, left: Left): AsyncGenerator<Buffer> {
  while (left.bytes > 0) {
    const piece = await reader.some(Math.min(left.bytes, PIECE_BYTES));
    if (piece.length === 0) {
      throw new CutStream(`ends inside ${path}, after ${String(size - left.bytes)} of ${String(size)} bytes`);
    }
    left.bytes -= piece.length;
    left.hash.update(piece);
    yield piece;
  }
}

async function skipRest(content: AsyncGenerator<Buffer>): Promise<void> {
  for (let next = await content.next(); next.done !== true;) next = await content.next();
}

async function whole(reader: ByteReader, bytes: number): Promise<Buffer> {
  const content = await reader.read(bytes);
  if (content.length < bytes) throw new CutStream('ends between two entries');
  return content;
}

function headerOf(block: Buffer): ReturnType<typeof readTarHeader> {
  try {
    return readTarHeader(block);
  } catch (error) {
    throw new CutStream(error instanceof Error ? error.message : String(error));
  }
}
