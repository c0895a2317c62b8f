/** What `pgr check` says about the bucket of a controller: that the escrowed key opens it, that it is fresh, and that its chain holds. */
import { normaliseTimestamp, secondsBetween } from '../../../shared/target-time.js';
import { segmentNumberOf, segmentName } from '../../../shared/timeline.js';
import type { BackupStore } from '../../lib/backup-store.js';
import { endOf, type Catalog, type CatalogBase } from './catalog.js';
import { decrypted, FIRST_CHUNK_END } from './decrypt.js';
import { compressionOfBytes } from './inflate.js';
import { sealedTar, type Bucket } from './open.js';
import { firstStoredBytes } from './stored-file.js';

type Line = Awaited<ReturnType<BackupStore['check']>>[number];

export type CheckInput = {
  bucket: Bucket;
  /** Reads the bucket anew. */
  catalog: () => Promise<Catalog>;
  /** How old the newest base and the newest WAL may be, in seconds. */
  limits: { baseSeconds: number; walSeconds: number };
  /** How the key was given, when that is worth saying. */
  keyNote: string | null;
  now: () => Date;
};

/** One line per question; a question that could not be asked is a line that is not ok. */
export async function checkBucket(input: CheckInput): Promise<Line[]> {
  let catalog: Catalog;
  try {
    catalog = await input.catalog();
  } catch (error) {
    return [
      { check: 'bucket-read', expected: 'the bucket of the controller can be read', actual: textOf(error), ok: false },
    ];
  }
  const newest = catalog.bases.at(-1);
  const now = normaliseTimestamp(input.now().toISOString()) ?? '';
  return [
    {
      check: 'bucket-read',
      expected: 'the bucket of the controller can be read',
      actual: `${String(catalog.bases.length)} bases, ${String(catalog.wal.length)} wal segments${catalog.warnings.map((text) => `; ${text}`).join('')}`,
      ok: newest !== undefined && catalog.warnings.length === 0,
    },
    await keyLine(input, newest),
    ageLine('base-fresh', 'base', newest === undefined ? null : endOf(newest), input.limits.baseSeconds, now),
    ageLine('wal-fresh', 'wal', newestWal(catalog), input.limits.walSeconds, now),
    chainLine(catalog, newest),
  ];
}

/** Opens the first chunk of the newest base: a megabyte proves that the key in escrow is the one that backups are made with. */
async function keyLine({ bucket, keyNote }: CheckInput, newest: CatalogBase | undefined): Promise<Line> {
  const line = { check: 'key-custody', expected: 'the secret key opens the newest base' };
  if (newest === undefined) return { ...line, actual: 'there is no base', ok: false };
  if (newest.metadata.encryption === 'NONE') return { ...line, actual: 'the newest base is not encrypted', ok: true };
  try {
    const { object } = sealedTar(bucket, newest);
    const start = firstStoredBytes(bucket.objects, newest.tar, 'BackupCorrupt', FIRST_CHUNK_END);
    const first = await decrypted(start, { ...object, bytes: 0 }).next();
    const kind = first.done === true ? 'nothing' : compressionOfBytes(first.value);
    const note = keyNote === null ? '' : `; ${keyNote}`;
    return { ...line, actual: `it opens base ${newest.metadata.backupId} (${kind})${note}`, ok: first.done !== true };
  } catch (error) {
    return { ...line, actual: textOf(error), ok: false };
  }
}

function newestWal({ wal }: Catalog): string | null {
  const times = wal.map(({ file }) => normaliseTimestamp(file.lastModified) ?? file.lastModified).sort();
  return times.at(-1) ?? null;
}

function ageLine(check: string, what: string, at: string | null, limitSeconds: number, now: string): Line {
  const expected = `the newest ${what} is at most ${String(limitSeconds)} s old`;
  if (at === null) return { check, expected, actual: `there is no ${what}`, ok: false };
  const age = Math.round(secondsBetween(at, now));
  return { check, expected, actual: `${at} (${String(age)} s old)`, ok: age <= limitSeconds };
}

/** The newest base, its parents, and its WAL without a gap to the newest segment. Looks at names only. */
function chainLine(catalog: Catalog, newest: CatalogBase | undefined): Line {
  const line = { check: 'chain', expected: 'the newest base, its parents and the wal after it are whole' };
  if (newest === undefined) return { ...line, actual: 'there is no base', ok: false };
  const problem = parentProblem(catalog, newest) ?? walProblem(catalog, newest);
  return { ...line, actual: problem ?? `base ${newest.metadata.backupId} and its wal are whole`, ok: problem === null };
}

function parentProblem({ bases }: Catalog, newest: CatalogBase): string | null {
  const seen = new Set<string>();
  for (let base = newest; base.metadata.backupType === 'INCREMENTAL';) {
    const { backupId, parentIncrementalBackupId, rootFullBackupId } = base.metadata;
    const parentId = parentIncrementalBackupId ?? rootFullBackupId ?? null;
    const parent = bases.find(({ metadata }) => metadata.backupId === parentId);
    if (parent === undefined) return `base ${backupId} needs base ${parentId ?? 'unknown'}, which is missing`;
    if (seen.has(backupId)) return `the parents of base ${backupId} form a circle`;
    seen.add(backupId);
    base = parent;
  }
  return null;
}

function walProblem({ wal, walSegmentBytes }: Catalog, { metadata }: CatalogBase): string | null {
  const numberOf = (segment: string): bigint =>
    BigInt(`0x${segment.slice(8, 16)}`) * BigInt(0x1_0000_0000 / walSegmentBytes) + BigInt(`0x${segment.slice(16)}`);
  const first = segmentNumberOf(metadata.startLsn, walSegmentBytes);
  const numbers = new Set(wal.map(({ segment }) => numberOf(segment)));
  const last = [...numbers].reduce((most, number) => (number > most ? number : most), first);
  for (let number = first; number <= last; number += 1n) {
    if (numbers.has(number)) continue;
    return `wal segment ${segmentName(metadata.timelineId, number, walSegmentBytes)} is missing`;
  }
  return null;
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
