/**
 * Unpacks the tar of a base into its directory while it comes, and compares every file with the manifest. The WAL inside the tar is left out: the
 * spool has it.
 */
import { createHash } from 'node:crypto';
import { closeSync, lchownSync, mkdirSync, chmodSync } from 'node:fs';
import { dirname, join } from 'node:path';

import { stepFailure } from '../../lib/failure.js';
import { isPlainPath } from '../base-index.js';
import { openFile, writeFully, type Owner } from '../chunk-files.js';
import { parseTarHeader, type TarEntry } from '../tar-index.js';
import { createByteReader, type ByteReader } from './byte-reader.js';
import type { ManifestFile } from './manifest.js';

export type UnpackInput = {
  /** Name of the object, for messages. */
  name: string;
  dir: string;
  owner: Owner;
  files: readonly ManifestFile[];
};

type Unpacking = UnpackInput & { reader: ByteReader; expected: Map<string, ManifestFile> };

const BLOCK = 512;
const PIECE_BYTES = 1024 * 1024;
const WAL_FILE = /^pg_wal\/[^/]+$|^pg_wal\/archive_status\/[^/]+$/;

/** Returns the number of files that were verified. Throws BackupCorrupt for anything that is not what the manifest says. */
export async function unpackBase(source: AsyncIterable<Buffer>, input: UnpackInput): Promise<number> {
  // The controller lists marks of its own WAL too (seen); PostgreSQL's own manifests have nothing below pg_wal.
  const wanted = input.files.filter(({ path }) => !WAL_FILE.test(path));
  const expected = new Map(wanted.map((file) => [file.path, file]));
  const unpacking = { ...input, reader: createByteReader(source), expected };
  makeDir(unpacking, '');
  for (let entry = await nextEntry(unpacking); entry !== null; entry = await nextEntry(unpacking)) {
    await unpackEntry(unpacking, entry);
  }
  // Up to the end of the stream: only there it is known that nothing of the object is missing.
  for (let rest = await unpacking.reader.some(PIECE_BYTES); rest.length > 0;) {
    rest = await unpacking.reader.some(PIECE_BYTES);
  }
  const [missing] = expected.keys();
  if (missing === undefined) return wanted.length;
  throw damaged(input, `lacks ${missing}${expected.size > 1 ? ` and ${String(expected.size - 1)} more files` : ''}`);
}

async function nextEntry(unpacking: Unpacking): Promise<TarEntry | null> {
  const header = await unpacking.reader.read(BLOCK);
  if (header.length < BLOCK) throw damaged(unpacking, 'ends before the end of its tar');
  if (header.every((byte) => byte === 0)) return null;
  try {
    return parseTarHeader(header, 0);
  } catch (error) {
    throw damaged(unpacking, error instanceof Error ? error.message : String(error));
  }
}

async function unpackEntry(unpacking: Unpacking, entry: TarEntry): Promise<void> {
  const { path, type, size } = entry;
  if (path !== '' && path !== '.' && !isPlainPath(path))
    throw damaged(unpacking, `holds "${path}", which leads out of it`);
  if (type === 'symlink') {
    throw stepFailure(
      'PreconditionFailed',
      `base ${unpacking.name} has a link at ${path}: tablespaces are not supported here`,
    );
  }
  if (type === 'dir') {
    makeDir(unpacking, path, entry.mode);
    return;
  }
  if (WAL_FILE.test(path)) await skip(unpacking, size);
  else await unpackFile(unpacking, entry);
  await unpacking.reader.read((BLOCK - (size % BLOCK)) % BLOCK);
}

async function unpackFile(unpacking: Unpacking, { path, size, mode }: TarEntry): Promise<void> {
  const { dir, owner, expected } = unpacking;
  const told = expected.get(path);
  const hash = told?.checksum ? createHash(told.checksum.algorithm) : null;
  mkdirSync(dirname(join(dir, path)), { recursive: true, mode: 0o700 });
  const fd = openFile(join(dir, path), mode, owner);
  try {
    for (let at = 0; at < size;) {
      const piece = await takeSome(unpacking, path, size - at);
      hash?.update(piece);
      writeFully(fd, piece, at);
      at += piece.length;
    }
  } finally {
    closeSync(fd);
  }
  expected.delete(path);
  if (told === undefined) return;
  if (told.bytes !== size) {
    throw damaged(unpacking, `has ${path} with ${String(size)} bytes, its manifest says ${String(told.bytes)}`);
  }
  if (hash !== null && hash.digest('hex') !== told.checksum?.hex) {
    throw damaged(unpacking, `has ${path} with another checksum than its manifest`);
  }
}

async function skip(unpacking: Unpacking, bytes: number): Promise<void> {
  for (let left = bytes; left > 0;) left -= (await takeSome(unpacking, 'its wal', left)).length;
}

async function takeSome(unpacking: Unpacking, path: string, left: number): Promise<Buffer> {
  const piece = await unpacking.reader.some(Math.min(left, PIECE_BYTES));
  if (piece.length === 0) throw damaged(unpacking, `ends inside ${path}`);
  return piece;
}

function makeDir({ dir, owner }: UnpackInput, path: string, mode = 0o700): void {
  const at = join(dir, path);
  mkdirSync(at, { recursive: true, mode });
  chmodSync(at, mode);
  if (owner !== null) lchownSync(at, owner.uid, owner.gid);
}

function damaged({ name }: UnpackInput, problem: string): Error {
  return stepFailure('BackupCorrupt', `base ${name} ${problem}`, {
    hint: 'nothing was promoted; recover from another base or put a good copy of the object back, then `pgr retry`',
  });
}
