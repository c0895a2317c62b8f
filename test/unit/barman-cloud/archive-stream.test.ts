import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { Compressor } from 'snappy';

import type { Compression } from '../../../activities/backup-store/codec.js';
import { unpackStream } from '../../../activities/backup-store/barman-cloud/archive-stream.js';

const RAW = Buffer.concat([randomBytes(6 * 1024 * 1024), Buffer.alloc(6 * 1024 * 1024)]);
const STORED = gzipSync(RAW, { level: 1 });

async function* pieces(of: Buffer): AsyncGenerator<Buffer> {
  for (let at = 0; at < of.length; at += 4_000_000) yield await Promise.resolve(of.subarray(at, at + 4_000_000));
}

/** The same bytes as each of Barman's compressions packs them. */
async function packedAs(kind: Compression): Promise<Buffer> {
  const by = (program: string, ...options: string[]): Buffer =>
    execFileSync(program, ['-c', ...options], { input: RAW, maxBuffer: 64 * 1024 * 1024 });
  switch (kind) {
    case 'bz2':
      return by('bzip2', '-1');
    case 'xz':
      return by('xz', '-0');
    case 'lz4':
      return by('lz4', '-1', '-BD');
    case 'zst':
      return by('zstd', '-1');
    case 'snappy': {
      const packer = new Compressor();
      return Buffer.concat([packer.update(RAW), await packer.finish()]);
    }
    default:
      return kind === 'gz' ? STORED : RAW;
  }
}

const KINDS: Compression[] = ['none', 'gz', 'bz2', 'xz', 'lz4', 'zst', 'snappy'];
const PACKED: Compression[] = KINDS.slice(1);

test.each(KINDS)('what was packed as %s comes out in order', async (kind) => {
  const parts: Buffer[] = [];
  await unpackStream(pieces(await packedAs(kind)), kind, (raw) => parts.push(Buffer.from(raw)));
  expect(Buffer.concat(parts).equals(RAW)).toBe(true);
});

test.each(KINDS)(
  'a reader of %s that fails ends the stream with its own error, however much is still to come',
  async (kind) => {
    const refuse = (): never => {
      throw new Error('a header of the tar is damaged');
    };
    await expect(unpackStream(pieces(await packedAs(kind)), kind, refuse)).rejects.toThrow(
      'a header of the tar is damaged',
    );
  },
);

test.each(PACKED)('a stream of %s that is damaged or cut ends with an error', async (kind) => {
  const stored = await packedAs(kind);
  const damaged = Buffer.from(stored).fill(0x55, stored.length >> 1, (stored.length >> 1) + 64);
  await expect(unpackStream(pieces(damaged), kind, () => undefined)).rejects.toThrow();
  await expect(unpackStream(pieces(stored.subarray(0, -9)), kind, () => undefined)).rejects.toThrow();
});

test.each(KINDS)('a bucket that goes away in the middle of %s is what the stream ends with', async (kind) => {
  const stored = await packedAs(kind);
  async function* broken(): AsyncGenerator<Buffer> {
    yield* pieces(stored.subarray(0, 5_000_000));
    throw new Error('the bucket does not answer');
  }
  await expect(unpackStream(broken(), kind, () => undefined)).rejects.toThrow('the bucket does not answer');
});

test('a program that is not installed is named, with how to install it', async () => {
  const { PATH } = process.env;
  process.env['PATH'] = '/nowhere';
  const attempt = unpackStream(pieces(STORED), 'xz', () => undefined);
  const refused = { type: 'PreconditionFailed', message: expect.stringContaining('xz is needed') as string };
  await expect(attempt).rejects.toMatchObject(refused);
  process.env['PATH'] = PATH;
});
