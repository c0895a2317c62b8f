/** The bases of a barman-cloud bucket, in the form in which everything else reads the bases of a store. */
import { createHash } from 'node:crypto';

import { isFailureOf, stepFailure } from '../../lib/failure.js';
import type { BaseHeader } from '../base-catalog.js';
import type { ObjectFacts, ObjectStore } from '../s3-objects.js';
import { STOCK_SETTINGS } from '../stock-settings.js';
import { parseBackupInfo, type BackupInfo, type BackupPosition } from './backup-info.js';
import { baseFolder, baseKey, compressionOf, parseArchiveName, type ArchiveName } from './object-names.js';

type Readable = Pick<ObjectStore, 'list' | 'get'>;

export type StoredArchive = ArchiveName & { key: string; bytes: number };

export type BarmanBase = {
  header: BaseHeader;
  info: BackupInfo;
  /** The tars of the data directory, in the order in which they were written. */
  archives: StoredArchive[];
};

export type BarmanCatalog = {
  bases: BarmanBase[];
  /** What is in the bucket and cannot be used at all, one sentence each. */
  notes: string[];
};

const INFO_FILE = 'backup.info';

/** Bounds the number of descriptions read at once. */
const READ_AT_ONCE = 16;

/** All bases of a server. One without `backup.info`, or whose copy did not end well, is a note: it is never used. */
export async function readCatalog(objects: Readable, server: string): Promise<BarmanCatalog> {
  const folders = sortIntoFolders(await objects.list(baseFolder(server)), server);
  const read: (BarmanBase | string)[] = [];
  for (let start = 0; start < folders.length; start += READ_AT_ONCE) {
    const some = folders.slice(start, start + READ_AT_ONCE);
    read.push(
      ...(await Promise.all(
        some.map(async ({ id, isDescribed, archives }) =>
          isDescribed
            ? readOne(objects, server, id, archives)
            : `base ${id} is not used: it has no ${INFO_FILE} (a backup that died, or one that is running)`,
        ),
      )),
    );
  }
  return {
    bases: read.filter((one) => typeof one !== 'string'),
    notes: read.filter((one) => typeof one === 'string'),
  };
}

type Folder = { id: string; isDescribed: boolean; archives: StoredArchive[] };

/** What lies directly in the folder of each base; annotations (`barman-cloud-backup-keep`) lie deeper. */
function sortIntoFolders(found: readonly ObjectFacts[], server: string): Folder[] {
  const folders = new Map<string, Folder>();
  for (const { key, bytes } of found) {
    const [id = '', file = '', ...rest] = key.slice(baseFolder(server).length).split('/');
    if (id === '' || file === '' || rest.length > 0) continue;
    const folder = folders.get(id) ?? { id, isDescribed: false, archives: [] };
    folders.set(id, folder);
    if (file === INFO_FILE) folder.isDescribed = true;
    const name = parseArchiveName(file);
    if (name !== null) folder.archives.push({ ...name, key, bytes });
  }
  return [...folders.values()];
}

/** One base that a plan names; NotFound or BackupCorrupt when it is not there or not usable any more. */
export async function readBase(objects: Readable, server: string, id: string): Promise<BarmanBase> {
  const folder = baseKey(server, id, '');
  const archives = (await objects.list(folder)).flatMap(({ key, bytes }): StoredArchive[] => {
    const name = parseArchiveName(key.slice(folder.length));
    return name === null ? [] : [{ ...name, key, bytes }];
  });
  const base = await readOne(objects, server, id, archives);
  if (typeof base === 'string') throw stepFailure('BackupCorrupt', base);
  const { unusable } = base.header;
  if (unusable !== undefined) throw stepFailure('PreconditionFailed', `base ${id} cannot be restored: ${unusable}`);
  return base;
}

/** A sentence when there is no way to use it. */
async function readOne(
  objects: Readable,
  server: string,
  id: string,
  archives: readonly StoredArchive[],
): Promise<BarmanBase | string> {
  const text = await readInfo(objects, baseKey(server, id, INFO_FILE));
  // It was there a moment ago: barman-cloud-backup-delete is at work.
  if (text === null) return `base ${id} is not used: its ${INFO_FILE} is gone`;
  const info = parseBackupInfo(text.toString('utf8'), id);
  const { position } = info;
  if (position === null) {
    const why = info.error === null ? '' : `: ${info.error}`;
    return `base ${id} is not used: its status is ${info.status}${why}`;
  }
  const data = archives.filter(({ part }) => part === 'data').sort((a, b) => a.number - b.number);
  const digest = createHash('sha256').update(text).digest('hex');
  return { info, archives: data, header: headerOf(info, position, data, digest) };
}

async function readInfo(objects: Readable, key: string): Promise<Buffer | null> {
  try {
    return await objects.get(key);
  } catch (error) {
    if (isFailureOf(error, 'NotFound')) return null;
    throw error;
  }
}

function headerOf(
  info: BackupInfo,
  position: BackupPosition,
  archives: readonly StoredArchive[],
  digest: string,
): BaseHeader {
  const bytes = archives.reduce((sum, archive) => sum + archive.bytes, 0);
  const unusable = problemOf(info, archives);
  const isPlain = archives.every(({ ending }) => ending === '');
  // Files of older versions do not tell the size: a gzip archive rarely holds more than five times its own.
  const rawBytes = isPlain ? bytes : Math.max(info.clusterBytes ?? bytes * 5, bytes);
  return {
    api: 1,
    id: info.id,
    kind: 'full',
    systemIdentifier: info.systemIdentifier ?? '0',
    postgresMajor: info.postgresMajor,
    postgresVersion: String(info.postgresVersion),
    walSegmentBytes: info.walSegmentBytes,
    timeline: position.timeline,
    startLsn: position.beginLsn,
    stopLsn: position.endLsn,
    startedAt: position.beginTime,
    endedAt: position.endTime,
    parentId: null,
    compression: isPlain ? 'none' : 'gz',
    tar: archives[0]?.file ?? 'data.tar',
    // No part of it has a checksum of its own: a whole archive is checked by its own format.
    sizes: { bytes, rawBytes, restoredBytes: rawBytes, files: 0, chunks: 0 },
    sha256s: { index: digest, manifest: digest },
    settings: STOCK_SETTINGS,
    ...(unusable === null ? {} : { unusable }),
  };
}

/** Why a base whose copy ended well cannot be restored from here, null when it can. */
function problemOf(info: BackupInfo, archives: readonly StoredArchive[]): string | null {
  if (info.isSnapshot) return 'its data is in snapshots of disks, not in the bucket';
  if (info.encryption !== null) return `it is encrypted by barman (${info.encryption}), which pgr cannot open`;
  if (info.systemIdentifier === null) return 'its backup.info does not say of which system it is';
  if (info.postgresMajor < 10) return `it is of PostgreSQL version ${String(info.postgresVersion)}`;
  if (info.tablespaces.length > 0) {
    return `it has tablespaces of its own (${info.tablespaces.join(', ')}), which pgr does not restore; use barman-cloud-restore`;
  }
  return problemOfArchives(archives);
}

function problemOfArchives(archives: readonly StoredArchive[]): string | null {
  const missing = archives.findIndex(({ number }, at) => number !== at);
  if (archives.length === 0) return 'its data.tar is not in the bucket';
  if (missing >= 0) return `its archive number ${String(missing)} is not in the bucket (or there twice)`;
  const foreign = archives.find(({ ending }) => compressionOf(ending) === null);
  if (foreign === undefined) return null;
  return `${foreign.file} is compressed with something that pgr does not know; use barman-cloud-restore`;
}
