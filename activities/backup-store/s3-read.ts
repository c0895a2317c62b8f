/** Reads a byte range into one buffer and goes on where it stopped when the connection drops. */
import type { Readable } from 'node:stream';

import { createRetryClock, type Patience } from './s3-retry.js';

export type RangeRequest = { range: string | null; etag: string | null };
export type RangeAnswer = { body: Readable; bytes: number | null; etag: string | null; partial: boolean };

type Reading = { buffer: Buffer | null; filled: number; etag: string | null };

/**
 * The bytes of `range` (whole object for null). A body that ends early is asked for again from the first missing byte, under the
 * entity tag of the first answer, so that two versions of an object are never mixed.
 */
export async function readRange(
  request: (request: RangeRequest) => Promise<RangeAnswer>,
  range: { start: number; end: number } | null,
  into: Buffer | null,
  patience: Patience,
): Promise<Buffer> {
  const reading: Reading = {
    buffer: range === null ? null : targetFor(range.end - range.start + 1, into),
    filled: 0,
    etag: null,
  };
  const clock = createRetryClock(patience);
  for (;;) {
    const before = reading.filled;
    try {
      await readOnce(request, range, reading);
      return reading.buffer ?? Buffer.alloc(0);
    } catch (error) {
      if (reading.filled > before) clock.progressed();
      await clock.next(error);
    }
  }
}

function targetFor(bytes: number, into: Buffer | null): Buffer {
  return into === null ? Buffer.allocUnsafeSlow(bytes) : into.subarray(0, bytes);
}

async function readOnce(
  request: (request: RangeRequest) => Promise<RangeAnswer>,
  range: { start: number; end: number } | null,
  reading: Reading,
): Promise<void> {
  const from = (range?.start ?? 0) + reading.filled;
  const plain = range === null && reading.filled === 0;
  const answer = await request({
    range: plain ? null : `bytes=${String(from)}-${range === null ? '' : String(range.end)}`,
    etag: reading.etag,
  });
  reading.etag ??= answer.etag;
  if (answer.bytes === null) throw truncated('an answer without a length');
  if (!plain && !answer.partial) {
    // A server that ignores Range sends the whole object: what came before must not be appended to.
    answer.body.destroy();
    throw new Error('the server does not serve byte ranges');
  }
  reading.buffer ??= Buffer.allocUnsafeSlow(answer.bytes);
  await fill(answer.body, reading, reading.buffer);
  if (reading.filled < reading.buffer.length) {
    throw truncated(`${String(reading.filled)} of ${String(reading.buffer.length)} bytes came`);
  }
}

function fill(body: Readable, reading: Reading, buffer: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    body.on('data', (piece: Buffer) => {
      if (reading.filled + piece.length > buffer.length) {
        body.destroy(new Error('the server sent more bytes than it announced'));
        return;
      }
      piece.copy(buffer, reading.filled);
      reading.filled += piece.length;
    });
    body.once('end', resolve);
    body.once('error', reject);
    // `close` without `end`: the peer went away in the middle; without an `error` on some versions of Node.
    body.once('close', () => {
      reject(truncated('the connection was closed'));
    });
  });
}

function truncated(message: string): Error {
  return Object.assign(new Error(message), { name: 'TruncatedBody' });
}
