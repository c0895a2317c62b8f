/**
 * Unpacks the tar of a base into its directory while it comes, and compares every file with the manifest. The WAL inside the tar is left out, or
 * put aside where the spool does not have it.
 */
import { createHash } from 'node:crypto';
import { closeSync, lchownSync, mkdirSync, chmodSync } from 'node:fs';
import { dirname, join } from 'node:path';

import { isSegmentName } from '../../../shared/timeline.js';
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
  /** Checksum that the manifest has of a file; null for none. */
  algorithmOf: (path: string) => string | null;
  /** Where complete segments of the tar go; they are skipped when left out. */
  walDir?: string;
};

/** What was written for a path; `hex` is its checksum. */
export type UnpackedFiles = Map<string, { bytes: number; algorithm: string | null; hex: string | null }>;

type Unpacking = UnpackInput & { reader: ByteReader; unpacked: UnpackedFiles };

const BLOCK = 512;
const PIECE_BYTES = 1024 * 1024;
const WAL_FILE = /^pg_wal\/[^/]+$|^pg_wal\/archive_status\/[^/]+$/;

/** Throws BackupCorrupt for a tar that is cut or damaged. What was unpacked is not proven yet: see {@link verifyUnpacked}. */
export async function unpackBase(source: AsyncIterable<Buffer>, input: UnpackInput): Promise<UnpackedFiles> {
  const unpacking: Unpacking = { ...input, reader: createByteReader(source), unpacked: new Map() };
  makeDir(unpacking, '');
  for (let entry = await nextEntry(unpacking); entry !== null; entry = await nextEntry(unpacking)) {
    await unpackEntry(unpacking, entry);
  }
  // Up to the end of the stream: only there it is known that nothing of the object is missing.
  for (let rest = await unpacking.reader.some(PIECE_BYTES); rest.length > 0;) {
    rest = await unpacking.reader.some(PIECE_BYTES);
  }
  return unpacking.unpacked;
}

/** Number of files of the manifest, all of which were unpacked as it says. Throws BackupCorrupt with the first one that was not. */
export function verifyUnpacked(unpacked: UnpackedFiles, files: readonly ManifestFile[], name: string): number {
  // The controller lists marks of its own WAL too (seen); PostgreSQL's own manifests have nothing below pg_wal.
  const wanted = files.filter(({ path }) => !WAL_FILE.test(path));
  const missing = wanted.filter(({ path }) => !unpacked.has(path));
  const [first] = missing;
  if (first !== undefined) {
    const more = missing.length > 1 ? ` and ${String(missing.length - 1)} more files` : '';
    throw damaged({ name }, `lacks ${first.path}${more}`);
  }
  for (const { path, bytes, checksum } of wanted) {
    const file = unpacked.get(path);
    if (file?.bytes !== bytes) {
      throw damaged({ name }, `has ${path} with ${String(file?.bytes)} bytes, its manifest says ${String(bytes)}`);
    }
    if (checksum !== null && checksum.algorithm === file.algorithm && checksum.hex !== file.hex) {
      throw damaged({ name }, `has ${path} with another checksum than its manifest`);
    }
  }
  return wanted.length;
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
  const segment = WAL_FILE.test(path) ? path.slice('pg_wal/'.length) : null;
  if (segment === null) await unpackFile(unpacking, entry);
  else if (unpacking.walDir !== undefined && isSegmentName(segment)) await putAside(unpacking, entry, segment);
  else await skip(unpacking, size);
  await unpacking.reader.read((BLOCK - (size % BLOCK)) % BLOCK);
}

async function unpackFile(unpacking: Unpacking, { path, size, mode }: TarEntry): Promise<void> {
  const { dir, owner, unpacked } = unpacking;
  const algorithm = unpacking.algorithmOf(path);
  const hash = algorithm === null ? null : createHash(algorithm);
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
  unpacked.set(path, { bytes: size, algorithm, hex: hash?.digest('hex') ?? null });
}

async function putAside(unpacking: Unpacking, { path, size }: TarEntry, segment: string): Promise<void> {
  const fd = openFile(join(unpacking.walDir ?? '', segment), 0o600, unpacking.owner);
  try {
    for (let at = 0; at < size;) {
      const piece = await takeSome(unpacking, path, size - at);
      writeFully(fd, piece, at);
      at += piece.length;
    }
  } finally {
    closeSync(fd);
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

function makeDir({ dir, owner }: Pick<UnpackInput, 'dir' | 'owner'>, path: string, mode = 0o700): void {
  const at = join(dir, path);
  mkdirSync(at, { recursive: true, mode });
  chmodSync(at, mode);
  if (owner !== null) lchownSync(at, owner.uid, owner.gid);
}

function damaged({ name }: Pick<UnpackInput, 'name'>, problem: string): Error {
  return stepFailure('BackupCorrupt', `base ${name} ${problem}`, {
    hint: 'nothing was promoted; recover from another base or put a good copy of the object back, then `pgr retry`',
  });
}
