/** The archived WAL as it lies in the bucket: `wal/<name>[.gz|.zst|.lz4|.bz2|.xz|.snappy]`, whatever program put it there. */
import { createHash } from 'node:crypto';

import { stepFailure } from '../lib/failure.js';
import { decompress, type Compression } from './codec.js';
import type { ObjectStore } from './s3-objects.js';
import { problemOfSegment, readWalPageHeader } from './wal-page.js';

export type WalFile = {
  /** Plain name: a segment, `<segment>.partial`, `0000000N.history` or `<segment>.<offset>.backup`. */
  name: string;
  key: string;
  compression: Compression;
  /** Stored size. */
  bytes: number;
  /** When the object was written, by the clock of the store. */
  archivedAt: string;
  /** SHA-1 of the content, where the name of the object says it. */
  sha1?: string;
  /** True for the segment that a streaming receiver is writing: it ends anywhere, also inside a record. */
  isGrowing?: boolean;
};

/** pgBackRest puts the SHA-1 of the content behind the name of a segment. */
const NAME =
  /^([0-9A-F]{24}(?:\.partial|\.[0-9A-F]{8}\.backup)?|[0-9A-F]{8}\.history)(?:-([0-9a-f]{40}))?(?:\.(gz|zst|lz4|bz2|xz|snappy))?$/;

/** When a file is there in several compressions: what needs no decoder first. */
const PREFERENCE: readonly Compression[] = ['none', 'lz4', 'gz', 'zst', 'snappy', 'xz', 'bz2'];

/** Largest `--wal-segsize` that initdb allows. */
const LARGEST_SEGMENT_BYTES = 1024 * 1024 * 1024;

/** Splits the file name of an object; null when it is none of the archive's. */
export function parseWalObjectName(fileName: string): Pick<WalFile, 'name' | 'compression' | 'sha1'> | null {
  const match = NAME.exec(fileName);
  if (match?.[1] === undefined) return null;
  const sha1 = match[2] === undefined ? {} : { sha1: match[2] };
  return { name: match[1], compression: (match[3] ?? 'none') as Compression, ...sha1 };
}

/**
 * All WAL files of the archive, sorted by name, each once; objects with other names are ignored.
 */
export async function listWalFiles(objects: Pick<ObjectStore, 'list'>, walPrefix: string): Promise<WalFile[]> {
  const byName = new Map<string, WalFile>();
  for (const { key, bytes, lastModified, isGrowing } of await objects.list(walPrefix)) {
    const parsed = parseWalObjectName(key.slice(walPrefix.length));
    if (parsed === null) continue;
    const known = byName.get(parsed.name);
    if (known !== undefined && PREFERENCE.indexOf(known.compression) < PREFERENCE.indexOf(parsed.compression)) continue;
    const growing = isGrowing === true ? { isGrowing } : {};
    byName.set(parsed.name, { ...parsed, key, bytes, archivedAt: lastModified, ...growing });
  }
  return [...byName.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
}

/**
 * The content of one file, decompressed. A segment that is not exactly one segment long, or does not start with a WAL page, is
 * WalCorrupt. `walSegmentBytes` is taken from the segment's own header when it is not given.
 */
export async function readWalFile(
  objects: Pick<ObjectStore, 'get'>,
  file: WalFile,
  walSegmentBytes?: number,
): Promise<Buffer> {
  const stored = await objects.get(file.key);
  return unpackWalFile(stored, file, walSegmentBytes);
}

/** {@link readWalFile} for bytes that are here already. */
export async function unpackWalFile(stored: Buffer, file: WalFile, walSegmentBytes?: number): Promise<Buffer> {
  const limit = walSegmentBytes ?? LARGEST_SEGMENT_BYTES;
  let raw: Buffer;
  try {
    raw = await decompress(stored, file.compression, limit);
  } catch (error) {
    throw walCorrupt(file, `cannot be decompressed: ${error instanceof Error ? error.message : String(error)}`, error);
  }
  if (!/^[0-9A-F]{24}(\.partial)?$/.test(file.name)) return raw;
  const name = file.name.slice(0, 24);
  const segmentBytes = walSegmentBytes ?? readWalPageHeader(raw)?.segmentBytes ?? raw.length;
  const problem =
    problemOfSegment(raw, { name, segmentBytes, systemIdentifier: null, postgresMajor: null }) ??
    problemOfDigest(file.sha1 ?? null, () => createHash('sha1').update(raw).digest('hex'));
  if (problem !== null) throw walCorrupt(file, problem);
  return raw;
}

/** What is wrong when the content has another SHA-1 than its name says. */
export function problemOfDigest(expected: string | null, digest: () => string): string | null {
  return expected === null || digest() === expected ? null : 'has another content than the SHA-1 in its name says';
}

/** The failure for a WAL object that cannot be used; it names the object. */
export function walCorrupt(file: WalFile, problem: string, cause?: unknown): Error {
  return stepFailure('WalCorrupt', `wal object ${file.key}: ${problem}`, {
    hint: `nothing was promoted; put a good copy of ${file.name} into the archive or choose an earlier target, then \`pgr retry\``,
    cause,
  });
}
