/** LZ4 streams of the real program, cut into pieces of any length that do not outlive the next one. */
import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { compressSync } from 'lz4-napi';

import { unpackLz4Stream } from '../../activities/backup-store/codec-lz4-stream.js';

const MIB = 1024 * 1024;
const packed = (raw: Buffer, ...options: string[]): Buffer =>
  execFileSync('lz4', ['-q', '-c', '-1', ...options], { input: raw, maxBuffer: 64 * MIB });
const plain = (raw: Buffer, ...options: string[]): Buffer => packed(raw, '--no-frame-crc', ...options);

/** Like pages: compressible, with references far back, and with stretches that nothing compresses. */
function pages(bytes: number): Buffer {
  const line = (at: number): Buffer => Buffer.from(`row ${String(at % 977)} of the same table, again and again;`);
  const parts: Buffer[] = [];
  for (let length = 0, at = 0; length < bytes; at += 1) {
    const part = at % 5_000 === 4_999 ? randomBytes(200_000) : line(at);
    parts.push(part);
    length += part.length;
  }
  return Buffer.concat(parts).subarray(0, bytes);
}

const raw = pages(3 * MIB + 12_345);
const digest = (data: Buffer): string => createHash('md5').update(data).digest('hex');
const never = (): never => {
  throw new Error('it was given to the program');
};

/** The next piece overwrites the last one, as buffers that are lent out do. */
async function* inPieces(data: Buffer, bytes: number): AsyncGenerator<Buffer> {
  const lent = Buffer.alloc(bytes);
  for (let at = 0; at < data.length; at += bytes) {
    lent.fill(0xee);
    yield await Promise.resolve(lent.subarray(0, data.copy(lent, 0, at, at + bytes)));
  }
}

type Otherwise = Parameters<typeof unpackLz4Stream>[1];

async function unpacked(data: Buffer, bytes = 256 * 1024, otherwise: Otherwise = never): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const piece of unpackLz4Stream(inPieces(data, bytes), otherwise)) parts.push(Buffer.from(piece));
  return Buffer.concat(parts);
}

test.each([
  ['blocks that build on each other', ['-BD', '-B4']],
  ['larger ones', ['-BD', '-B5']],
  ['blocks of their own', ['-BI', '-B4']],
  ['the largest', ['-BI', '-B7']],
  ['a content size', ['--content-size', '-BD', '-B4']],
])('%s come out as they went in', async (_, options) => {
  expect(digest(await unpacked(plain(raw, ...options)))).toBe(digest(raw));
});

test.each([1, 3, 7, 4_096, 65_539, 1_000_003])('pieces of %d bytes make no difference', async (bytes) => {
  const some = raw.subarray(0, bytes < 100 ? 300_000 : raw.length);
  expect(digest(await unpacked(plain(some, '-BD', '-B4'), bytes))).toBe(digest(some));
});

test('several frames are one stream, and what may be skipped is', async () => {
  const skipped = Buffer.concat([Buffer.from('5a2a4d1803000000', 'hex'), Buffer.from('abc')]);
  const stream = Buffer.concat([skipped, plain(raw, '-BD', '-B4'), skipped, plain(raw.subarray(0, 70_000), '-BI')]);
  expect(digest(await unpacked(stream, 100_000))).toBe(digest(Buffer.concat([raw, raw.subarray(0, 70_000)])));
  const short = Buffer.from('short');
  expect(digest(await unpacked(Buffer.concat([skipped, plain(short)]), 2))).toBe(digest(short));
});

test('blocks shorter than they may be, as a writer that flushes makes them, refer back over all of them', async () => {
  const parts: Buffer[] = [Buffer.from('04224d184040c0', 'hex')];
  let at = 0;
  for (const bytes of [50_000, 10, 300, 20_000, 1, 65_536, 7_000]) {
    const block = compressSync(raw.subarray(at, at + bytes), raw.subarray(Math.max(0, at - 65_536), at)).subarray(4);
    const size = Buffer.alloc(4);
    size.writeUInt32LE(block.length);
    parts.push(size, block);
    at += bytes;
  }
  parts.push(Buffer.alloc(4));
  for (const bytes of [11, 30_000, MIB]) {
    expect(digest(await unpacked(Buffer.concat(parts), bytes))).toBe(digest(raw.subarray(0, at)));
  }
});

test('an empty stream inside a frame is empty, and no frame at all is an error', async () => {
  expect(await unpacked(plain(Buffer.alloc(0)))).toHaveLength(0);
  await expect(unpacked(Buffer.alloc(0))).rejects.toThrow('lz4 stream is cut');
});

test('a frame with checksums goes to the program from its first byte on, whatever came before', async () => {
  const simple = plain(Buffer.from('before'));
  const checked = packed(raw);
  let given: Buffer = Buffer.alloc(0);
  const program: Otherwise = async function* (rest) {
    const parts: Buffer[] = [];
    for await (const piece of rest) parts.push(Buffer.from(piece));
    given = Buffer.concat(parts);
    yield execFileSync('lz4', ['-dc'], { input: given, maxBuffer: 64 * MIB });
  };
  const all = await unpacked(Buffer.concat([simple, checked]), 50_001, program);
  expect(digest(all)).toBe(digest(Buffer.concat([Buffer.from('before'), raw])));
  expect(given.equals(checked)).toBe(true);
});

test('a stream that is cut anywhere is an error, never a shorter result', async () => {
  const stream = plain(raw.subarray(0, 400_000), '-BD', '-B4');
  for (const left of [1, 4, 6, 7, 8, 10, 11, 12, 5_000, stream.length - 5, stream.length - 4, stream.length - 1]) {
    await expect(unpacked(stream.subarray(0, left))).rejects.toThrow('lz4 stream is cut');
  }
});

test('what is no lz4, and a block that is damaged, are errors', async () => {
  await expect(unpacked(Buffer.from('a text that is no archive'))).rejects.toThrow('not an lz4 frame');
  const stream = plain(raw, '-BD', '-B4');
  const tooLong = Buffer.from(stream);
  tooLong.writeUInt32LE(0x00ffffff, 7);
  await expect(unpacked(tooLong)).rejects.toThrow('larger than its frame allows');
  const damaged = Buffer.from(stream);
  damaged.fill(0xff, 200, 400);
  await expect(unpacked(damaged)).rejects.toThrow();
});

test('a reader that leaves early lets its source go', async () => {
  let isOver = false;
  const source = async function* (): AsyncGenerator<Buffer> {
    try {
      yield* inPieces(plain(raw, '-BD', '-B4'), 10_000);
    } finally {
      isOver = true;
    }
  };
  for await (const piece of unpackLz4Stream(source(), never)) {
    expect(piece.length).toBeGreaterThan(0);
    break;
  }
  expect(isOver).toBe(true);
});
