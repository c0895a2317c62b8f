import { randomBytes } from 'node:crypto';
import { gzipSync } from 'node:zlib';

import { unpackStream } from '../../../activities/backup-store/barman-cloud/archive-stream.js';

const RAW = randomBytes(12 * 1024 * 1024);
const STORED = gzipSync(RAW, { level: 1 });

async function* pieces(of: Buffer): AsyncGenerator<Buffer> {
  for (let at = 0; at < of.length; at += 4_000_000) yield await Promise.resolve(of.subarray(at, at + 4_000_000));
}

test('what was packed comes out in order', async () => {
  const parts: Buffer[] = [];
  await unpackStream(pieces(STORED), 'gz', (raw) => parts.push(Buffer.from(raw)));
  expect(Buffer.concat(parts).equals(RAW)).toBe(true);
});

test('a reader that fails ends the stream with its own error, however much is still to come', async () => {
  const refuse = (): never => {
    throw new Error('a header of the tar is damaged');
  };
  await expect(unpackStream(pieces(STORED), 'gz', refuse)).rejects.toThrow('a header of the tar is damaged');
});

test('a stream that is damaged or cut ends with an error', async () => {
  const damaged = Buffer.from(STORED).fill(0x55, STORED.length >> 1, (STORED.length >> 1) + 64);
  await expect(unpackStream(pieces(damaged), 'gz', () => undefined)).rejects.toThrow();
  await expect(unpackStream(pieces(STORED.subarray(0, -9)), 'gz', () => undefined)).rejects.toThrow(/unexpected end/);
});
