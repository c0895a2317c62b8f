/** Decompression by what the bytes say: names and metadata are not asked. */
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';

import { stepFailure } from '../../lib/failure.js';
import { createByteReader, type ByteReader } from './byte-reader.js';
import type { Encrypted } from './decrypt.js';
import { unpackZstd } from '../zstd-stream.js';

const ZSTD_MAGIC = 0xfd2f_b528;
const PIECE_BYTES = 256 * 1024;

/** Kind of compression that starts like this. */
export function compressionOfBytes(start: Buffer): 'zst' | 'gz' | 'none' {
  if (start.length >= 4 && start.readUInt32LE(0) === ZSTD_MAGIC) return 'zst';
  return start.length >= 2 && start[0] === 0x1f && start[1] === 0x8b ? 'gz' : 'none';
}

/** Decompressed bytes of `source`. A damaged or cut stream is the `damaged` failure of the object; failures of the source pass through. */
export async function* inflated(
  source: AsyncIterable<Buffer>,
  object: Pick<Encrypted, 'name' | 'damaged'>,
): AsyncGenerator<Buffer> {
  const ofSource: { failure: Error | null } = { failure: null };
  const reader = createByteReader(heard(source, ofSource));
  const start = await reader.read(4);
  const whole = rest(start, reader);
  const kind = compressionOfBytes(start);
  try {
    if (kind === 'none') yield* whole;
    else yield* kind === 'zst' ? unpackZstd(whole) : unpackGzip(whole);
  } catch (error) {
    if (ofSource.failure !== null) throw ofSource.failure;
    const why = error instanceof Error ? error.message : String(error);
    throw stepFailure(object.damaged, `object ${object.name} cannot be decompressed: ${why}`, { cause: error });
  }
}

/** Whatever the streams in between make of a failure of the source, it is known here. */
async function* heard(source: AsyncIterable<Buffer>, seen: { failure: Error | null }): AsyncGenerator<Buffer> {
  try {
    yield* source;
  } catch (error) {
    seen.failure = error instanceof Error ? error : new Error(String(error));
    throw seen.failure;
  }
}

async function* rest(start: Buffer, reader: ByteReader): AsyncGenerator<Buffer> {
  for (let piece = start; piece.length > 0; piece = await reader.some(PIECE_BYTES)) yield piece;
}

async function* unpackGzip(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const gunzip = createGunzip({ chunkSize: PIECE_BYTES });
  const feeding = pipeline(Readable.from(source), gunzip).catch((error: unknown) => {
    // The reader below hears of it by the destroyed stream, and throws the same error.
    gunzip.destroy(error instanceof Error ? error : new Error(String(error)));
  });
  for await (const piece of gunzip) yield piece as Buffer;
  await feeding;
}
