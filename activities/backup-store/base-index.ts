/** `index.json.gz` of a base: which bytes of the stored tar are which files, so that it can be restored from any chunk in any order. */
import { createHash } from 'node:crypto';
import { promisify } from 'node:util';
import { gunzip, gzip } from 'node:zlib';

import { stepFailure } from '../lib/failure.js';
import { baseKeys, type BaseHeader } from './base-catalog.js';
import type { ObjectStore } from './s3-objects.js';
import type { TarEntry } from './tar-index.js';

/** One chunk: an independent LZ4 frame or gzip member of the tar. `sha256` is of its stored bytes. */
export type ChunkEntry = { offset: number; bytes: number; rawOffset: number; rawBytes: number; sha256: string };

export type BaseIndex = { api: 1; chunks: ChunkEntry[]; files: TarEntry[] };

/** A run of bytes of one chunk that belongs to one file. */
export type FilePiece = { path: string; mode: number; at: number; bytes: number; fileOffset: number };

const inflate = promisify(gunzip);
const deflate = promisify(gzip);

/** The index as it is stored. */
export async function encodeIndex(index: BaseIndex): Promise<Buffer> {
  return deflate(Buffer.from(JSON.stringify(index)), { level: 6 });
}

/** Fetches and verifies the index of a base. BackupCorrupt when it is not the one that the header names. */
export async function readBaseIndex(objects: Pick<ObjectStore, 'get'>, header: BaseHeader): Promise<BaseIndex> {
  const stored = await objects.get(baseKeys(header.id).index);
  if (createHash('sha256').update(stored).digest('hex') !== header.sha256s.index) {
    throw stepFailure('BackupCorrupt', `index of base ${header.id} differs from the checksum in its header`);
  }
  try {
    const index = JSON.parse((await inflate(stored)).toString('utf8')) as BaseIndex;
    const problem = problemOfIndex(index, header.sizes.rawBytes);
    if (problem !== null) throw new Error(problem);
    return index;
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw stepFailure('BackupCorrupt', `index of base ${header.id} is not understood: ${why}`, { cause: error });
  }
}

/** What makes an index unusable, null when nothing does: gaps, and paths that would leave the directory of the base. */
export function problemOfIndex(index: BaseIndex, rawBytes: number): string | null {
  let offset = 0;
  let rawOffset = 0;
  for (const [number, chunk] of index.chunks.entries()) {
    if (chunk.offset !== offset || chunk.rawOffset !== rawOffset) return `chunk ${String(number)} does not follow`;
    offset += chunk.bytes;
    rawOffset += chunk.rawBytes;
  }
  if (rawOffset !== rawBytes) return `its chunks hold ${String(rawOffset)} of ${String(rawBytes)} bytes`;
  for (const { path, rawOffset: start, size } of index.files) {
    if (!isPlainPath(path)) return `"${path}" is not a path inside a base`;
    if (start + size > rawBytes) return `${path} ends after the tar`;
  }
  return null;
}

/** True for a path that stays inside the directory it is taken in. */
export function isPlainPath(path: string): boolean {
  if (path === '' || path.includes('\0')) return false;
  return path.split('/').every((part) => part !== '' && part !== '.' && part !== '..');
}

/** Pieces of every chunk, in the order of `index.chunks`. Files of no bytes have no piece. */
export function createPieceFinder(index: BaseIndex): (chunk: ChunkEntry) => FilePiece[] {
  const files = index.files.filter(({ type, size }) => type === 'file' && size > 0);
  return (chunk) => {
    const end = chunk.rawOffset + chunk.rawBytes;
    const pieces: FilePiece[] = [];
    for (let number = firstEndingAfter(files, chunk.rawOffset); number < files.length; number += 1) {
      const file = files[number];
      if (file === undefined || file.rawOffset >= end) break;
      const from = Math.max(file.rawOffset, chunk.rawOffset);
      const to = Math.min(file.rawOffset + file.size, end);
      const at = from - chunk.rawOffset;
      pieces.push({ path: file.path, mode: file.mode, at, bytes: to - from, fileOffset: from - file.rawOffset });
    }
    return pieces;
  };
}

/** Files follow each other in the stream, so their ends rise: binary search. */
function firstEndingAfter(files: readonly TarEntry[], offset: number): number {
  let low = 0;
  let high = files.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    const file = files[middle];
    if (file !== undefined && file.rawOffset + file.size <= offset) low = middle + 1;
    else high = middle;
  }
  return low;
}
