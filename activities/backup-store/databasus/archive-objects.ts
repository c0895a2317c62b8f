/**
 * The bucket of a controller as the objects of our own layout (docs/architecture.md section 10), made while they are read. So boundary, holes,
 * window and everything else about WAL is the same code as for store `s3`. Read only.
 */
import { normaliseTimestamp } from '../../../shared/target-time.js';
import { historyName } from '../../../shared/timeline.js';
import { stepFailure } from '../../lib/failure.js';
import { baseKeys } from '../base-catalog.js';
import type { ObjectFacts, ObjectStore } from '../s3-objects.js';
import { readCatalog, type Catalog, type CatalogBase, type Pin } from './catalog.js';
import { compressionOfBytes } from './inflate.js';
import { sealedHistory, sealedWal, type Bucket } from './open.js';
import { collect } from './stored-file.js';

export const WAL_PREFIX = 'wal/';

/** One look at the bucket: the listing is read once and kept. */
export type ArchiveView = { objects: ObjectStore; catalog(): Promise<Catalog> };

/** Stock values of PostgreSQL: the bucket does not say what the source had; pg_control of the restored base does. */
const STOCK_SETTINGS = {
  maxConnections: 100,
  maxWorkerProcesses: 8,
  maxWalSenders: 10,
  maxPreparedTransactions: 0,
  maxLocksPerTransaction: 64,
};
const NO_CHECKSUM = '0'.repeat(64);

/** A new look at the bucket. */
export function createArchiveView(bucket: Bucket, pin: Pin): ArchiveView {
  let reading: Promise<Catalog> | null = null;
  const catalog = (): Promise<Catalog> => (reading ??= readCatalog(bucket.objects, pin));
  const list = async (prefix: string): Promise<ObjectFacts[]> =>
    factsOf(await catalog()).filter(({ key }) => key.startsWith(prefix));
  const objects: ObjectStore = {
    list,
    head: async (key) => (await list(key)).find((facts) => facts.key === key) ?? null,
    async get(key, range, into) {
      const content = await readObject(bucket, await catalog(), key);
      const part = range === undefined ? content : content.subarray(range.start, range.end + 1);
      if (into === undefined) return part;
      return into.subarray(0, part.copy(into));
    },
    put: () => Promise.reject(readOnly()),
    putFromParts: () => Promise.reject(readOnly()),
  };
  return { objects, catalog };
}

/** What this store does not do. */
export function readOnly(): Error {
  return stepFailure(
    'PreconditionFailed',
    'a store of kind databasus-bucket is only read: the Databasus controller makes the backups',
    { hint: 'nothing was written; do it in the controller, or use a store of kind s3 for backups of pgr itself' },
  );
}

function factsOf({ bases, wal, histories }: Catalog): ObjectFacts[] {
  return [
    ...bases.map((base) => ({
      key: baseKeys(base.metadata.backupId).header,
      bytes: base.tar.bytes,
      lastModified: base.tar.lastModified,
    })),
    ...wal.map(({ segment, file }) => ({ ...file, key: `${WAL_PREFIX}${segment}.zst` })),
    ...histories.map(({ timeline, file }) => ({ ...file, key: `${WAL_PREFIX}${historyName(timeline)}.zst` })),
  ].map(({ key, bytes, lastModified }) => ({ key, bytes, lastModified }));
}

async function readObject(bucket: Bucket, catalog: Catalog, key: string): Promise<Buffer> {
  const base = catalog.bases.find(({ metadata }) => baseKeys(metadata.backupId).header === key);
  if (base !== undefined) return Buffer.from(JSON.stringify(headerOf(base, catalog.walSegmentBytes)));
  const name = key.slice(WAL_PREFIX.length).replace(/\.zst$/, '');
  const wal = catalog.wal.find(({ segment }) => segment === name);
  const history = catalog.histories.find(({ timeline }) => historyName(timeline) === name);
  const sealed =
    wal !== undefined
      ? await sealedWal(bucket, wal)
      : history !== undefined
        ? await sealedHistory(bucket, history)
        : null;
  if (sealed === null) throw stepFailure('NotFound', `the bucket has no ${key}`);
  const content = await collect(sealed.stream());
  if (compressionOfBytes(content) === 'zst') return content;
  throw stepFailure('WalCorrupt', `object ${sealed.object.name} is not compressed with zstandard as its name says`);
}

/** The sidecar of a base as `base.json` of our layout. */
function headerOf({ metadata, tar }: CatalogBase, walSegmentBytes: number): unknown {
  const bytes = tar.bytes;
  return {
    api: 1,
    id: metadata.backupId,
    kind: metadata.backupType === 'FULL' ? 'full' : 'incremental',
    systemIdentifier: metadata.systemIdentifier,
    postgresMajor: Math.floor(metadata.pgVersion / 10_000),
    postgresVersion: String(metadata.pgVersion),
    walSegmentBytes,
    timeline: metadata.timelineId,
    startLsn: metadata.startLsn,
    stopLsn: metadata.stopLsn,
    startedAt: utc(metadata.createdAt),
    endedAt: utc(metadata.completedAt),
    parentId: metadata.parentIncrementalBackupId ?? metadata.rootFullBackupId ?? null,
    compression: 'none',
    tar: tar.name,
    sizes: {
      bytes,
      rawBytes: metadata.uncompressedSizeBytes,
      // The controller writes 0 for the real one (seen); planning reads the manifests of the chain instead.
      restoredBytes: Math.max(metadata.uncompressedSizeBytes, bytes),
      files: 0,
      chunks: 0,
    },
    sha256s: { index: NO_CHECKSUM, manifest: NO_CHECKSUM },
    settings: STOCK_SETTINGS,
  };
}

function utc(time: string): string {
  return normaliseTimestamp(time) ?? time;
}
