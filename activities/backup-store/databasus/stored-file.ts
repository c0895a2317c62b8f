/** Reads a file of the controller out of the bucket, in order, with a few requests ahead. Files in parts are read as one. */
import { createHash, type Hash } from 'node:crypto';
import { z } from 'zod';

import { stepFailure } from '../../lib/failure.js';
import type { ObjectStore } from '../s3-objects.js';
import type { Encrypted } from './decrypt.js';
import { partsObject, type StoredFile } from './names.js';

export type ReadObjects = Pick<ObjectStore, 'list' | 'get'>;

/** Bytes of one request, and requests that are under way: together the memory of one reader. */
const REQUEST_BYTES = 4 * 1024 * 1024;
const REQUESTS_AHEAD = 4;

const partsSchema = z.object({
  version: z.literal(1),
  totalSize: z.int().nonnegative(),
  parts: z.array(
    z.object({ key: z.string().min(1), size: z.int().positive(), sha256: z.string().regex(/^[0-9a-f]{64}$/) }),
  ),
});

/** One object of a file; the checksum only of parts. */
type Piece = { key: string; bytes: number; sha256: string | null };
type Request = { piece: Piece; start: number; bytes: number };

/**
 * Stored bytes of a file. A part that is missing, shorter or other than its description says is the `damaged` failure.
 * @param hear called with the bytes of every answer
 */
export async function* storedBytes(
  objects: ReadObjects,
  file: StoredFile,
  damaged: Encrypted['damaged'],
  hear: (bytes: number) => void = () => undefined,
): AsyncGenerator<Buffer> {
  const pieces = file.isInParts ? await readParts(objects, file, damaged) : [wholeOf(file)];
  const requests = requestsOf(pieces).values();
  const ahead: { request: Request; answer: Promise<Buffer> }[] = [];
  const ask = (): void => {
    const next = requests.next();
    if (next.done === true) return;
    const answer = fetchRange(objects, next.value, damaged);
    answer.catch(() => undefined); // heard when its turn comes
    ahead.push({ request: next.value, answer });
  };
  for (let count = 0; count < REQUESTS_AHEAD; count += 1) ask();
  let hash: Hash = createHash('sha256');
  for (let next = ahead.shift(); next !== undefined; next = ahead.shift()) {
    const { request } = next;
    const content = await next.answer;
    ask();
    hear(content.length);
    if (request.piece.sha256 !== null) hash.update(content);
    if (request.start + request.bytes === request.piece.bytes && request.piece.sha256 !== null) {
      const sha256 = hash.digest('hex');
      hash = createHash('sha256');
      if (sha256 !== request.piece.sha256) throw damage(damaged, request.piece.key, 'differs from its checksum');
    }
    yield content;
  }
}

/** The first bytes of a file with one request, at most `most` and none beyond its first part. */
export async function* firstStoredBytes(
  objects: ReadObjects,
  file: StoredFile,
  damaged: Encrypted['damaged'],
  most: number,
): AsyncGenerator<Buffer> {
  const [piece] = file.isInParts ? await readParts(objects, file, damaged) : [wholeOf(file)];
  if (piece === undefined || piece.bytes === 0) return;
  yield await fetchRange(objects, { piece, start: 0, bytes: Math.min(most, piece.bytes) }, damaged);
}

function wholeOf({ name, bytes }: StoredFile): Piece {
  return { key: name, bytes, sha256: null };
}

/** The description names full keys; only their last part is used, so that a bucket that was copied elsewhere can be read. */
async function readParts(objects: ReadObjects, file: StoredFile, damaged: Encrypted['damaged']): Promise<Piece[]> {
  const key = partsObject(file.name);
  const parsed = partsSchema.safeParse(jsonOf(await objects.get(key)));
  if (!parsed.success) throw damage(damaged, key, 'is not understood');
  const { parts, totalSize } = parsed.data;
  const sum = parts.reduce((total, { size }) => total + size, 0);
  if (sum !== totalSize) throw damage(damaged, key, `lists parts of ${String(sum)} of ${String(totalSize)} bytes`);
  return parts.map(({ key: full, size, sha256 }) => ({ key: full.split('/').at(-1) ?? full, bytes: size, sha256 }));
}

function jsonOf(content: Buffer): unknown {
  try {
    return JSON.parse(content.toString('utf8'));
  } catch {
    return null;
  }
}

function requestsOf(pieces: readonly Piece[]): Request[] {
  return pieces.flatMap((piece) => {
    const count = Math.ceil(piece.bytes / REQUEST_BYTES);
    return Array.from({ length: count }, (_, at): Request => {
      const start = at * REQUEST_BYTES;
      return { piece, start, bytes: Math.min(REQUEST_BYTES, piece.bytes - start) };
    });
  });
}

async function fetchRange(
  objects: ReadObjects,
  { piece, start, bytes }: Request,
  damaged: Encrypted['damaged'],
): Promise<Buffer> {
  const content = await objects.get(piece.key, { start, end: start + bytes - 1 });
  if (content.length === bytes) return content;
  throw damage(damaged, piece.key, `is shorter than ${String(start + bytes)} bytes`);
}

function damage(type: Encrypted['damaged'], key: string, problem: string): Error {
  return stepFailure(type, `object ${key} ${problem}`);
}

/** All bytes of a small file. */
export async function collect(source: AsyncIterable<Buffer>): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of source) pieces.push(piece);
  return Buffer.concat(pieces);
}
