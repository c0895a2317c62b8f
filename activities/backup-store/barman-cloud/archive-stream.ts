/** One archive of a base as a stream: fetched by ranges ahead of its reader, unpacked, with bounded memory. */
import { createGunzip } from 'node:zlib';

import { bytesOf, type Lease } from '../chunk-buffers.js';
import type { Compression } from '../codec.js';
import { unpackPieces } from '../codec-stream.js';
import type { MoverTools } from '../mover-tools.js';

type Tools = Pick<MoverTools, 'objects' | 'buffers' | 'progress'>;

/** Bytes asked for with one request, and requests under way: one connection alone does not fill a link. */
const RANGE_BYTES = 4 * 1024 * 1024;
const READ_AHEAD = 4;

/** What comes out of the decoder at a time. */
const RAW_BYTES = 1024 * 1024;

type Part = { lease: Lease; ready: Promise<unknown> };

/** The stored bytes of an object from `from` on, in order. A piece belongs to the reader until it asks for the next one. */
export async function* readInOrder(tools: Tools, key: string, from: number, bytes: number): AsyncGenerator<Buffer> {
  const queue: Part[] = [];
  let asked = from;
  const ask = async (): Promise<Part> => {
    const start = asked;
    const end = Math.min(start + RANGE_BYTES, bytes) - 1;
    asked = end + 1;
    const lease = await tools.buffers.acquire(end - start + 1);
    const ready = tools.objects.get(key, { start, end }, bytesOf(lease));
    // It is waited for when its turn comes; until then its failure is nobody's.
    ready.catch(() => undefined);
    return { lease, ready };
  };
  try {
    for (;;) {
      while (queue.length < READ_AHEAD && asked < bytes) queue.push(await ask());
      const part = queue[0];
      if (part === undefined) return;
      await part.ready;
      tools.progress.fetched(part.lease.bytes);
      yield bytesOf(part.lease);
      tools.progress.finished(part.lease.bytes);
      queue.shift();
      tools.buffers.release(part.lease);
    }
  } finally {
    // Memory that is still being written to is not lent to somebody else.
    await Promise.allSettled(queue.map(({ ready }) => ready));
    for (const { lease } of queue) tools.buffers.release(lease);
  }
}

/** Hands the unpacked bytes of `pieces` to `take`, which must not keep them. Throws what the source, the decoder or `take` threw. */
export async function unpackStream(
  pieces: AsyncIterable<Buffer>,
  compression: Compression,
  take: (raw: Buffer) => void,
): Promise<void> {
  if (compression === 'none') {
    for await (const piece of pieces) take(piece);
    return;
  }
  if (compression !== 'gz') {
    for await (const raw of unpackPieces(pieces, compression)) take(raw);
    return;
  }
  const decoder = createGunzip({ chunkSize: RAW_BYTES });
  const write = (piece: Buffer): Promise<void> =>
    new Promise((resolve, reject) => {
      // A decoder whose reader failed is destroyed, and does not answer any more for what it was given.
      const gone = (): void => {
        reject(new Error('the decoder is gone'));
      };
      decoder.once('close', gone);
      decoder.write(piece, (error) => {
        decoder.off('close', gone);
        if (error) reject(error);
        else resolve();
      });
    });
  const fill = async (): Promise<void> => {
    try {
      for await (const piece of pieces) await write(piece);
      decoder.end();
    } catch (error) {
      decoder.destroy(error instanceof Error ? error : new Error(String(error)));
      throw error;
    }
  };
  const drain = async (): Promise<void> => {
    for await (const raw of decoder) take(raw as Buffer);
  };
  // The reading side knows the cause: when it fails, the writing side only learns that the decoder is gone.
  const [filled, drained] = await Promise.allSettled([fill(), drain()]);
  if (drained.status === 'rejected') throw drained.reason;
  if (filled.status === 'rejected') throw filled.reason;
}
