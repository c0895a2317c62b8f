/**
 * Decrypts an object of the controller as a stream: 64 bytes of header (`PGRSUS01`, salt, nonce), then chunks of
 * length (u32), AES-256-GCM of at most 1 MiB and tag; the nonce of a chunk is the first four bytes of the header's and its number (u64). Every chunk
 * proves itself and its place. There is no end mark: that a whole chunk is missing at the end is seen by the sizes in the metadata.
 */
import { createDecipheriv, pbkdf2 } from 'node:crypto';
import { promisify } from 'node:util';

import type { FailureType } from '../../../shared/failures.js';
import { stepFailure } from '../../lib/failure.js';
import { createByteReader, type ByteReader } from './byte-reader.js';

export type Encrypted = {
  /** Name of the object, for messages. */
  name: string;
  secretKey: string;
  /** Id of the backup or segment: part of the key, so that objects cannot be exchanged. */
  id: string;
  encryption: 'NONE' | 'ENCRYPTED';
  /** From the metadata; stored or plain bytes, whichever the controller counted. 0: not known. */
  bytes: number;
  /** Type of the failure for an object that is damaged. */
  damaged: Extract<FailureType, 'BackupCorrupt' | 'WalCorrupt'>;
};

const MAGIC = Buffer.from('PGRSUS01');
const HEADER_BYTES = 64;
const TAG_BYTES = 16;
const CHUNK_BYTES = 1024 * 1024;
const ITERATIONS = 100_000;

const derive = promisify(pbkdf2);

/** Stored bytes that hold the header and the first chunk. */
export const FIRST_CHUNK_END = HEADER_BYTES + 4 + CHUNK_BYTES + TAG_BYTES;

/**
 * Plain bytes of `source`. Throws CredentialsRefused when the key does not open the first chunk, and the `damaged` type when a later one was changed, the
 * object ends early, or its size is not that of its metadata.
 */
export async function* decrypted(source: AsyncIterable<Buffer>, object: Encrypted): AsyncGenerator<Buffer> {
  const reader = createByteReader(source);
  let plainBytes = 0;
  for await (const plain of object.encryption === 'NONE' ? pieces(reader) : chunks(reader, object)) {
    plainBytes += plain.length;
    yield plain;
  }
  const storedBytes = reader.taken();
  if (object.bytes === 0 || object.bytes === plainBytes || object.bytes === storedBytes) return;
  const sizes = `${String(plainBytes)} bytes (${String(storedBytes)} stored)`;
  throw damaged(object, `holds ${sizes}, its metadata say ${String(object.bytes)}: a part of it is missing`);
}

async function* pieces(reader: ByteReader): AsyncGenerator<Buffer> {
  for (let piece = await reader.some(CHUNK_BYTES); piece.length > 0; piece = await reader.some(CHUNK_BYTES)) {
    yield piece;
  }
}

async function* chunks(reader: ByteReader, object: Encrypted): AsyncGenerator<Buffer> {
  const header = await reader.read(HEADER_BYTES);
  if (header.length < HEADER_BYTES) throw damaged(object, 'ends inside its header');
  if (!header.subarray(0, MAGIC.length).equals(MAGIC)) throw damaged(object, 'is not encrypted as its metadata say');
  const key = await derive(object.secretKey + object.id, header.subarray(8, 40), ITERATIONS, 32, 'sha256');
  const nonce = Buffer.from(header.subarray(40, 52));
  for (let number = 0; ; number += 1) {
    const length = await reader.read(4);
    if (length.length === 0) return;
    const bytes = length.length < 4 ? 0 : length.readUInt32BE(0);
    if (length.length === 4 && (bytes < TAG_BYTES || bytes > CHUNK_BYTES + TAG_BYTES)) {
      throw damaged(object, `has a wrong length before chunk ${String(number)}`);
    }
    const sealed = await reader.read(bytes);
    if (length.length < 4 || sealed.length < bytes) throw damaged(object, `ends inside chunk ${String(number)}`);
    nonce.writeBigUInt64BE(BigInt(number), 4);
    yield openChunk(object, number, sealed, { key, nonce });
  }
}

function openChunk(
  object: Encrypted,
  number: number,
  sealed: Buffer,
  { key, nonce }: { key: Buffer; nonce: Buffer },
): Buffer {
  const cipher = createDecipheriv('aes-256-gcm', key, nonce, { authTagLength: TAG_BYTES });
  cipher.setAuthTag(sealed.subarray(sealed.length - TAG_BYTES));
  const plain = cipher.update(sealed.subarray(0, sealed.length - TAG_BYTES));
  try {
    cipher.final();
  } catch {
    if (number > 0) throw damaged(object, `was changed: chunk ${String(number)} does not verify`);
    throw stepFailure(
      'CredentialsRefused',
      `the secret key does not open ${object.name}: it is the key of another controller, or the beginning of the object was changed`,
      { hint: 'put the secret.key of the controller that made this backup into backups.secretKey, then `pgr check`' },
    );
  }
  return plain;
}

function damaged({ name, damaged: type }: Encrypted, problem: string): Error {
  return stepFailure(type, `object ${name} ${problem}`);
}
