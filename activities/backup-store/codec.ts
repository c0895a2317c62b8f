/**
 * Compression of what the store keeps. LZ4 frames, gzip members, Zstandard frames, bzip2, xz and framed Snappy are read whatever wrote them; written are
 * LZ4 and gzip. Native and WebAssembly decoders are loaded when they are first needed, so that a program that runs once per segment
 * does not pay for them.
 */
import { promisify } from 'node:util';
import * as zlib from 'node:zlib';

import type { StreamCompression } from './codec-stream.js';
import { unpackLz4Frames } from './codec-sync.js';

export type Compression = 'none' | StreamCompression;

/** What the config calls the compression of new objects. */
export type ConfiguredCompression = 'none' | 'gzip' | 'lz4';

const gunzip = promisify<Buffer, zlib.ZlibOptions, Buffer>(zlib.gunzip);
const gzip = promisify<Buffer, zlib.ZlibOptions, Buffer>(zlib.gzip);

/** File ending of a compression, with its dot; empty for none. */
export function endingOf(compression: Compression): string {
  return compression === 'none' ? '' : `.${compression}`;
}

/** The compression that the config means. */
export function compressionOf(configured: ConfiguredCompression): 'none' | 'gz' | 'lz4' {
  return configured === 'gzip' ? 'gz' : configured;
}

/** Compresses one object. Gzip runs at level 1: the rest of the levels cost more time than they save transfer. */
export async function compress(data: Buffer, compression: 'none' | 'gz' | 'lz4'): Promise<Buffer> {
  if (compression === 'none') return data;
  if (compression === 'gz') return gzip(data, { level: 1 });
  const lz4 = await import('lz4-napi');
  return lz4.compressFrameSync(data);
}

/**
 * Decompresses one object, whatever number of frames or members it has. `limitBytes` bounds the result, so that a
 * damaged or hostile object cannot eat the memory. Throws a plain Error with the decoder's words; the caller names the object.
 */
export async function decompress(data: Buffer, compression: Compression, limitBytes: number): Promise<Buffer> {
  const raw = await decode(data, compression, limitBytes);
  if (raw.length > limitBytes) throw new Error(`holds more than ${String(limitBytes)} bytes`);
  return raw;
}

async function decode(data: Buffer, compression: Compression, limitBytes: number): Promise<Buffer> {
  switch (compression) {
    case 'none':
      return data;
    case 'gz':
      return gunzip(data, { maxOutputLength: limitBytes });
    case 'lz4':
      return decodeLz4(data);
    case 'zst':
      return decodeZstd(data, limitBytes);
    case 'bz2':
    case 'xz':
    case 'snappy':
      return decodeStream(data, compression, limitBytes);
  }
}

async function decodeStream(data: Buffer, compression: 'bz2' | 'xz' | 'snappy', limitBytes: number): Promise<Buffer> {
  const { unpackPieces } = await import('./codec-stream.js');
  const pieces: Buffer[] = [];
  let bytes = 0;
  for await (const piece of unpackPieces(inPieces(data), compression)) {
    pieces.push(piece);
    bytes += piece.length;
    if (bytes > limitBytes) break;
  }
  return Buffer.concat(pieces);
}

/** Small enough that the result can be bounded while it grows. */
async function* inPieces(data: Buffer): AsyncGenerator<Buffer> {
  const PIECE_BYTES = 256 * 1024;
  for (let at = 0; at < data.length; at += PIECE_BYTES)
    yield await Promise.resolve(data.subarray(at, at + PIECE_BYTES));
}

/** On this thread: about 8 ms for a segment, and the library leaves too much memory behind in the pool (see codec-sync.ts). */
async function decodeLz4(data: Buffer): Promise<Buffer> {
  const lz4 = await import('lz4-napi');
  return unpackLz4Frames(lz4, data);
}

type ZstdOfNode = {
  zstdDecompress?: (
    data: Buffer,
    options: { maxOutputLength: number },
    done: (error: Error | null, raw: Buffer) => void,
  ) => void;
};

async function decodeZstd(data: Buffer, limitBytes: number): Promise<Buffer> {
  const { zstdDecompress } = zlib as ZstdOfNode;
  if (zstdDecompress !== undefined) {
    return new Promise((resolve, reject) => {
      zstdDecompress(data, { maxOutputLength: limitBytes }, (error, raw) => {
        if (error === null) resolve(raw);
        else reject(error);
      });
    });
  }
  const { ZSTDDecoder } = await import('zstddec');
  const decoder = new ZSTDDecoder();
  await decoder.init();
  // The decoder wants to know how much memory to reserve; segments of more than 64 MiB are rare.
  for (const roomBytes of new Set([Math.min(limitBytes + 1, 64 * 1024 * 1024), limitBytes + 1])) {
    const raw = decoder.decode(data, roomBytes);
    // Its errors come out as a result of no bytes.
    if (raw.length > 0) return Buffer.from(raw.buffer, raw.byteOffset, raw.byteLength);
  }
  throw new Error(`is no whole zstandard stream of at most ${String(limitBytes)} bytes`);
}
