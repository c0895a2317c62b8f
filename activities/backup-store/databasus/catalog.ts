/** What one look at the bucket finds of the database of this environment. Listings and sidecars of bases only. */
import { lsnDistanceBytes } from '../../../shared/lsn.js';
import { compareTimestamps, normaliseTimestamp } from '../../../shared/target-time.js';
import { stepFailure } from '../../lib/failure.js';
import { parseBaseMetadata, parseWalMetadata, type BaseMetadata } from './metadata.js';
import {
  filesOf,
  MANIFEST,
  METADATA,
  parseBaseName,
  parseHistoryName,
  parseWalName,
  type StoredFile,
} from './names.js';
import type { ReadObjects } from './stored-file.js';

/** Which database of the bucket it is; both null when the bucket holds one system only. */
export type Pin = { systemIdentifier: string | null; databaseId: string | null };

export type CatalogBase = {
  /** The name that people gave the database in the controller. */
  database: string;
  metadata: BaseMetadata;
  tar: StoredFile;
  manifest: StoredFile;
};

export type CatalogWal = { segment: string; timeline: number; file: StoredFile };
export type CatalogHistory = { timeline: number; file: StoredFile };

export type Catalog = {
  /** Oldest first. */
  bases: CatalogBase[];
  wal: CatalogWal[];
  histories: CatalogHistory[];
  walSegmentBytes: number;
  warnings: string[];
};

const SIDECARS_AT_ONCE = 16;
const DEFAULT_SEGMENT_BYTES = 16 * 1024 * 1024;

type FoundBase = { id: string; database: string; tar: StoredFile; metadata: BaseMetadata };

/**
 * Reads the bucket. Throws ConfigInvalid when it holds several systems and the config does not say which, IdentityMismatch when what the config
 * names is not there but others are.
 */
export async function readCatalog(objects: ReadObjects, pin: Pin): Promise<Catalog> {
  const files = filesOf(await objects.list(''));
  const found = await readBases(objects, files);
  const databases = chooseDatabases(found, pin);
  const isOurs = (databaseId: string): boolean => databases.has(databaseId);
  const bases: CatalogBase[] = [];
  const warnings: string[] = [];
  for (const { database, metadata, tar } of found.filter((base) => isOurs(base.metadata.databaseId))) {
    const manifest = files.get(tar.name + MANIFEST);
    if (manifest !== undefined && files.has(tar.name)) bases.push({ database, metadata, tar, manifest });
    else
      warnings.push(
        `base ${metadata.backupId} is not whole in the bucket (${missingPart(files, tar.name)}) and is not used`,
      );
  }
  const wal = [...files.values()].flatMap((file): CatalogWal[] => {
    const name = parseWalName(file.name);
    return name === null || !isOurs(name.databaseId) || !files.has(file.name + METADATA) ? [] : [{ ...name, file }];
  });
  const histories = [...files.values()].flatMap((file): CatalogHistory[] => {
    const name = parseHistoryName(file.name);
    return name === null || !isOurs(name.databaseId) ? [] : [{ timeline: name.timeline, file }];
  });
  bases.sort((a, b) => compareTimestamps(endOf(a), endOf(b)));
  wal.sort((a, b) => (a.segment < b.segment ? -1 : 1));
  return { bases, wal, histories, walSegmentBytes: await segmentBytesOf(objects, wal[0]), warnings };
}

/** When a base was complete, in the normal form of times. */
export function endOf({ metadata }: CatalogBase): string {
  return normaliseTimestamp(metadata.completedAt) ?? metadata.completedAt;
}

/** A base is announced by its sidecar. */
async function readBases(objects: ReadObjects, files: ReadonlyMap<string, StoredFile>): Promise<FoundBase[]> {
  const announced = [...files.values()].flatMap((sidecar) => {
    const name = sidecar.name.endsWith(METADATA) ? sidecar.name.slice(0, -METADATA.length) : null;
    const base = name === null ? null : parseBaseName(name);
    return name === null || base === null ? [] : [{ ...base, name, sidecar }];
  });
  const bases: FoundBase[] = [];
  for (let start = 0; start < announced.length; start += SIDECARS_AT_ONCE) {
    const some = announced.slice(start, start + SIDECARS_AT_ONCE);
    bases.push(
      ...(await Promise.all(
        some.map(async ({ id, database, name, sidecar }): Promise<FoundBase> => {
          const metadata = parseBaseMetadata((await objects.get(sidecar.name)).toString('utf8'), name);
          if (metadata.backupId !== id) {
            throw stepFailure('BackupCorrupt', `metadata of ${name} say that it is backup ${metadata.backupId}`);
          }
          const tar = files.get(name) ?? { name, bytes: 0, lastModified: '', isInParts: false };
          return { id, database, tar, metadata };
        }),
      )),
    );
  }
  return bases;
}

/** Ids of the databases that are this environment's: one cluster may have been added to a controller more than once. */
function chooseDatabases(found: readonly FoundBase[], pin: Pin): Set<string> {
  const ours = found.filter(
    ({ metadata }) =>
      (pin.databaseId === null || metadata.databaseId === pin.databaseId) &&
      (pin.systemIdentifier === null || metadata.systemIdentifier === pin.systemIdentifier),
  );
  if (found.length > 0 && ours.length === 0) {
    throw stepFailure(
      'IdentityMismatch',
      `the bucket has no base of ${describePin(pin)}; it has ${describeDatabases(found)}`,
      { hint: 'nothing was touched; correct backups.systemIdentifier or backups.databaseId in the config' },
    );
  }
  const systems = new Set(ours.map(({ metadata }) => metadata.systemIdentifier));
  if (systems.size > 1) {
    throw stepFailure(
      'ConfigInvalid',
      `the bucket has bases of ${String(systems.size)} systems: ${describeDatabases(found)}`,
      {
        hint: 'say which one it is with backups.systemIdentifier (or backups.databaseId) in the config',
      },
    );
  }
  const named = pin.databaseId === null ? [] : [pin.databaseId];
  return new Set([...ours.map(({ metadata }) => metadata.databaseId), ...named]);
}

function describePin({ systemIdentifier, databaseId }: Pin): string {
  const words = [
    ...(systemIdentifier === null ? [] : [`system ${systemIdentifier}`]),
    ...(databaseId === null ? [] : [`database ${databaseId}`]),
  ];
  return words.join(' and ');
}

function describeDatabases(found: readonly FoundBase[]): string {
  const lines = found.map(
    ({ database, metadata }) => `${database} (system ${metadata.systemIdentifier}, database ${metadata.databaseId})`,
  );
  return [...new Set(lines)].join(', ');
}

function missingPart(files: ReadonlyMap<string, StoredFile>, name: string): string {
  return files.has(name) ? `${name}${MANIFEST} is missing` : `${name} is missing`;
}

/** Metadata of a segment say where it begins and ends. */
async function segmentBytesOf(objects: ReadObjects, any: CatalogWal | undefined): Promise<number> {
  if (any === undefined) return DEFAULT_SEGMENT_BYTES;
  const name = any.file.name;
  const { startLsn, endLsn } = parseWalMetadata((await objects.get(name + METADATA)).toString('utf8'), name);
  return lsnDistanceBytes(startLsn, endLsn);
}
