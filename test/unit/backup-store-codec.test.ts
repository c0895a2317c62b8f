/** What other programs archived must be readable; what is damaged must be said to be. Fixtures: gzip 1.12, lz4 1.9.4, zstd 1.5.4. */
import { createHash, randomBytes } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

import { compress, decompress, type Compression } from '../../activities/backup-store/codec.js';
import { independentBlocks, lz4FrameLengths } from '../../activities/backup-store/codec-lz4-frames.js';
import { loadSyncCodec } from '../../activities/backup-store/codec-sync.js';
import { unpackWalFile, type WalFile } from '../../activities/backup-store/wal-archive.js';

const FIXTURES = path.join(__dirname, 'fixtures', 'wal');
const MIB = 1024 * 1024;
/** Of the segment of one megabyte that all fixtures hold. */
const SHA256 = '406b26d31028f62d2146108b1f4f6c3380b4720e99ecef8ae51cecfa2a43d305';
const NAME = '000000010000000000000031';

function walFile(compression: Compression, bytes: number): WalFile {
  const key = `wal/${NAME}.${compression}`;
  return { name: NAME, key, compression, bytes, archivedAt: '2026-11-21T00:00:00.000Z' };
}

test.each(readdirSync(FIXTURES))('a segment stored as %s is read as it was', async (fixture) => {
  const stored = readFileSync(path.join(FIXTURES, fixture));
  const compression = path.extname(fixture).slice(1) as Compression;
  const raw = await unpackWalFile(stored, walFile(compression, stored.length));
  expect(createHash('sha256').update(raw).digest('hex')).toBe(SHA256);
});

test.each(readdirSync(FIXTURES))('%s that is cut is WalCorrupt and names the object', async (fixture) => {
  const whole = readFileSync(path.join(FIXTURES, fixture));
  const compression = path.extname(fixture).slice(1) as Compression;
  for (const part of [0.3, 0.6, 0.95]) {
    const stored = whole.subarray(0, Math.floor(whole.length * part));
    await expect(unpackWalFile(stored, walFile(compression, stored.length))).rejects.toMatchObject({
      type: 'WalCorrupt',
      message: expect.stringContaining(NAME) as string,
    });
  }
});

test('a segment of another place, another size or another system is not taken', async () => {
  const raw = Buffer.alloc(MIB);
  await expect(unpackWalFile(raw, walFile('none', MIB))).rejects.toMatchObject({ type: 'WalCorrupt' });
  const good = await decompress(readFileSync(path.join(FIXTURES, 'gzip-9.gz')), 'gz', MIB);
  await expect(unpackWalFile(good, { ...walFile('none', MIB), name: `${NAME.slice(0, 23)}2` })).rejects.toMatchObject({
    message: expect.stringContaining('starts at') as string,
  });
  await expect(unpackWalFile(good, walFile('none', MIB), 16 * MIB)).rejects.toMatchObject({ type: 'WalCorrupt' });
});

test('an object that blows up beyond its limit is refused', async () => {
  const packed = await compress(Buffer.alloc(8 * MIB), 'gz');
  await expect(decompress(packed, 'gz', MIB)).rejects.toThrow();
  const lz4 = await compress(Buffer.alloc(8 * MIB), 'lz4');
  await expect(decompress(lz4, 'lz4', MIB)).rejects.toThrow('more than');
});

const KINDS = ['none', 'gz', 'lz4'] as const;
const CONTENTS: [string, () => Buffer][] = [
  ['zeros', () => Buffer.alloc(9 * MIB + 13)],
  ['noise', () => randomBytes(9 * MIB + 13)],
  ['text', () => Buffer.from('insert into orders values (1, 2, 3);\n'.repeat(200_000))],
  ['one byte', () => Buffer.from('x')],
];

describe.each(KINDS)('compression %s', (compression) => {
  test.each(CONTENTS)('%s comes back, in place and piece by piece', async (_, content) => {
    const codec = await loadSyncCodec();
    const raw = content();
    const buffer = Buffer.alloc(raw.length + MIB);
    raw.copy(buffer);
    const bytes = codec.compressInto(buffer.subarray(0, raw.length), compression, buffer);
    expect(bytes).not.toBeNull();
    const stored = Buffer.from(buffer.subarray(0, bytes ?? 0));
    expect((await decompress(Buffer.from(stored), compression, raw.length)).equals(raw)).toBe(true);
    const back = Buffer.alloc(raw.length);
    codec.decompress(stored, compression, raw.length, (piece, offset) => piece.copy(back, offset));
    expect(back.equals(raw)).toBe(true);
  });
});

test('our own frames are decoded block by block, frames of other kinds are left to the frame decoder', async () => {
  const raw = randomBytes(9 * MIB);
  const own = await compress(raw, 'lz4');
  expect(independentBlocks(own, raw.length)?.map(({ rawBytes }) => rawBytes)).toEqual([4 * MIB, 4 * MIB, MIB]);
  expect(independentBlocks(own, raw.length - 1)).toBeNull();
  const linked = readFileSync(path.join(FIXTURES, 'lz4-linked-blocks.lz4'));
  expect(independentBlocks(linked, MIB)).toBeNull();
  expect(lz4FrameLengths(readFileSync(path.join(FIXTURES, 'lz4-two-frames.lz4')))).toHaveLength(2);
});

test('a wrong raw size is an error, not a short result', async () => {
  const codec = await loadSyncCodec();
  for (const compression of KINDS) {
    const stored = await compress(Buffer.alloc(MIB, 1), compression);
    const read = (): void => {
      codec.decompress(Buffer.from(stored), compression, MIB + 1, () => undefined);
    };
    expect(read).toThrow();
  }
});
