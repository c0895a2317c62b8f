/**
 * What decryption costs: the base of the benchmark as a Databasus controller stores it (tar, zstd, AES-256-GCM in chunks of a MiB), unpacked by pgr's reader of such
 * buckets, beside the same object without encryption.
 */
import { createCipheriv, pbkdf2Sync, randomBytes } from 'node:crypto';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createReadStream, createWriteStream } from 'node:fs';
import { rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';

import { decrypted, type Encrypted } from '../activities/backup-store/databasus/decrypt.js';
import { inflated } from '../activities/backup-store/databasus/inflate.js';
import { unpackBase } from '../activities/backup-store/databasus/unpack-base.js';
import { seconds } from './measured.js';
import type { Bench } from './setup.js';

const SECRET_KEY = randomBytes(36).toString('hex');
const ID = 'bench';
const CHUNK_BYTES = 1024 * 1024;
/** As in the controller (contracts/databasus.md). */
const ITERATIONS = 100_000;

export type Decryption = { plainSeconds: number; encryptedSeconds: number; storedBytes: number };

/** Unpacks both once. The objects are made at the first call, in `bench.dir`. */
export async function measureDecryption(bench: Bench): Promise<Decryption> {
  const plain = path.join(bench.dir, 'base.tar.zst');
  const sealed = `${plain}.sealed`;
  if (!(await isThere(sealed))) {
    await takeBase(bench, plain);
    await pipeline(createReadStream(plain, { highWaterMark: CHUNK_BYTES }), seal, createWriteStream(sealed));
  }
  const plainSeconds = await unpack(bench, plain, 'NONE');
  const encryptedSeconds = await unpack(bench, sealed, 'ENCRYPTED');
  return { plainSeconds, encryptedSeconds, storedBytes: (await stat(plain)).size };
}

async function unpack(bench: Bench, file: string, encryption: Encrypted['encryption']): Promise<number> {
  const dir = path.join(bench.dir, 'unpacked');
  const object: Encrypted = { name: ID, secretKey: SECRET_KEY, id: ID, encryption, bytes: 0, damaged: 'BackupCorrupt' };
  const started = performance.now();
  const source = createReadStream(file, { highWaterMark: CHUNK_BYTES }) as AsyncIterable<Buffer>;
  const input = { name: ID, dir, owner: null, algorithmOf: () => 'sha256' };
  await unpackBase(inflated(decrypted(source, object), object), input);
  const took = seconds(started);
  await rm(dir, { recursive: true });
  return took;
}

async function takeBase({ binDir, primaryPort }: Bench, file: string): Promise<void> {
  const login = ['-h', '127.0.0.1', '-p', String(primaryPort), '-U', 'postgres'];
  const backup = spawn(path.join(binDir, 'pg_basebackup'), [...login, '-D', '-', '-Ft', '-X', 'none', '-c', 'fast'], {
    stdio: ['ignore', 'pipe', 'inherit'],
    cwd: '/',
  });
  const zstd = spawn('zstd', ['-q', '-3', '-T2', '-f', '-o', file], { stdio: ['pipe', 'inherit', 'inherit'] });
  const ended = Promise.all([once(backup, 'close'), once(zstd, 'close')]);
  await pipeline(backup.stdout, zstd.stdin);
  const codes = (await ended).map(([code]) => Number(code));
  if (codes.some((code) => code !== 0)) throw new Error(`the base was not taken: ${codes.join(', ')}`);
}

/** The inverse of what decrypt.ts reads. */
async function* seal(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const [salt, start] = [randomBytes(32), randomBytes(12)];
  yield Buffer.concat([Buffer.from('PGRSUS01'), salt, start, Buffer.alloc(12)]);
  const key = pbkdf2Sync(SECRET_KEY + ID, salt, ITERATIONS, 32, 'sha256');
  let number = 0n;
  for await (const piece of source) {
    const nonce = Buffer.from(start);
    nonce.writeBigUInt64BE(number, 4);
    number += 1n;
    const cipher = createCipheriv('aes-256-gcm', key, nonce);
    const body = Buffer.concat([cipher.update(piece), cipher.final(), cipher.getAuthTag()]);
    const length = Buffer.alloc(4);
    length.writeUInt32BE(body.length);
    yield Buffer.concat([length, body]);
  }
}

function isThere(file: string): Promise<boolean> {
  return stat(file).then(
    () => true,
    () => false,
  );
}
