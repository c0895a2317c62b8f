/**
 * Archives one WAL file: what `archive_command` runs. Returns only when the store has the file. Right when run twice, and when several
 * run at once: an object that is there is compared, never replaced (PostgreSQL docs, "Setting Up WAL Archiving": the command must refuse
 * to overwrite a file with different contents, and succeed when it is the same file).
 */
import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';

import { stepFailure } from '../lib/failure.js';
import { compress, compressionOf, decompress, endingOf, type ConfiguredCompression } from './codec.js';
import type { SlimObjects } from './s3-slim.js';
import { parseWalObjectName, type WalFile } from './wal-archive.js';
import { problemOfSegment, readWalPageHeader } from './wal-page.js';

export type WalPush = { path: string; walPrefix: string; compression: ConfiguredCompression };

export type WalPushResult = { outcome: 'archived' | 'already-archived'; key: string; bytes: number };

/** Largest `--wal-segsize` that initdb allows. */
const LARGEST_BYTES = 1024 * 1024 * 1024;

/** Two losses of the race for a key are possible (another attempt of the same file), more mean that the store is not consistent. */
const ROUNDS = 3;

/**
 * Archives `push.path` under its own name. Throws PreconditionFailed when the archive has another content under that name (or the file
 * is no WAL), StoreUnavailable and its like when the store did not say that it has it.
 */
export async function pushWal(objects: SlimObjects, push: WalPush): Promise<WalPushResult> {
  const name = basename(push.path);
  const parsed = parseWalObjectName(name);
  if (parsed?.compression !== 'none') throw stepFailure('BadUsage', `${name} is not the name of a wal file`);
  const raw = await readFile(push.path);
  refuseForeign(name, raw);
  const compression = name.endsWith('.history') || name.endsWith('.backup') ? 'none' : compressionOf(push.compression);
  const key = `${push.walPrefix}${name}${endingOf(compression)}`;
  let packed: { body: Buffer; compression: 'none' | 'gz' | 'lz4' } | null = null;
  for (let round = 0; round < ROUNDS; round += 1) {
    const present = await findArchived(objects, push.walPrefix, name);
    if (present !== null) return compareArchived(objects, present, raw);
    packed ??= await pack(raw, compression);
    const target = packed.compression === compression ? key : `${push.walPrefix}${name}${endingOf(packed.compression)}`;
    if ((await objects.put(target, packed.body, { ifAbsent: true })) === 'written') {
      return { outcome: 'archived', key: target, bytes: packed.body.length };
    }
  }
  throw stepFailure('StoreUnavailable', `the store says that ${key} exists and that it does not`);
}

/** LZ4 needs a native library beside the program; where it cannot be loaded (another user, a single copied file) gzip is used. */
async function pack(
  raw: Buffer,
  compression: 'none' | 'gz' | 'lz4',
): Promise<{ body: Buffer; compression: 'none' | 'gz' | 'lz4' }> {
  try {
    return { body: await compress(raw, compression), compression };
  } catch (error) {
    if (compression !== 'lz4') throw error;
    return { body: await compress(raw, 'gz'), compression: 'gz' };
  }
}

/** A segment that is not what its name says must not get into the archive: it would be found at the worst moment. */
function refuseForeign(name: string, raw: Buffer): void {
  const segment = /^[0-9A-F]{24}(?=$|\.partial$)/.exec(name)?.[0];
  if (segment === undefined) return;
  const segmentBytes = readWalPageHeader(raw)?.segmentBytes ?? raw.length;
  const problem = problemOfSegment(raw, { name: segment, segmentBytes, systemIdentifier: null, postgresMajor: null });
  if (problem !== null) throw stepFailure('PreconditionFailed', `not archived: ${problem}`);
}

/** The object that holds `name` in any compression. */
async function findArchived(objects: SlimObjects, walPrefix: string, name: string): Promise<WalFile | null> {
  for (const { key, bytes, lastModified } of await objects.list(walPrefix + name)) {
    const parsed = parseWalObjectName(key.slice(walPrefix.length));
    if (parsed?.name === name) return { ...parsed, key, bytes, archivedAt: lastModified };
  }
  return null;
}

function isMissingLibrary(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const code = 'code' in error ? String(error.code) : '';
  return code.endsWith('MODULE_NOT_FOUND') || error.message.includes('native binding');
}

async function compareArchived(objects: SlimObjects, present: WalFile, raw: Buffer): Promise<WalPushResult> {
  const stored = await objects.get(present.key);
  const same = await decompress(stored, present.compression, LARGEST_BYTES).then(
    (archived) => archived.equals(raw),
    (error: unknown) => {
      // Not being able to read it is not knowing what it holds.
      if (isMissingLibrary(error))
        throw stepFailure('PreconditionFailed', `${present.key} is there, and the library to read it is not`);
      return false;
    },
  );
  if (same) return { outcome: 'already-archived', key: present.key, bytes: present.bytes };
  throw stepFailure(
    'PreconditionFailed',
    `the archive has another ${present.name} (${present.key}); it is not overwritten`,
    {
      hint: 'two servers archive to the same place, or one was restored with the archive of another: give this one its own walPrefix',
    },
  );
}
