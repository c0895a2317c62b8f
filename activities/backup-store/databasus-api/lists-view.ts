/**
 * The controller's lists as objects of our own layout (docs/architecture.md section 10). They tell what there is and when it came; the WAL
 * itself is only in the restore stream, so it cannot be read here.
 */
import { stepFailure } from '../../lib/failure.js';
import { historyName } from '../../../shared/timeline.js';
import { baseKeys } from '../base-catalog.js';
import type { ObjectFacts, ObjectStore } from '../s3-objects.js';
import type { StoreContext } from '../timeline-archive.js';
import { headerJson } from './base-header.js';
import { guessedHistory, timelinesOf, type Catalog, type ListedBase } from './catalog.js';

export const WAL_PREFIX = 'wal/';

/**
 * Bytes of a base once restored, from its compressed ones: the lists have no other. Between what zstd and gzip make of databases (3 to 5); indexes
 * and zeroed pages go further.
 */
const UNPACKED = 4;

/** Size on disk of a base of the lists, estimated. */
export function estimatedRawBytes(bytes: number): number {
  return bytes * UNPACKED;
}

/** Lists as a place where an archive lies. Reading WAL from it is a bug. */
export function contextOf(catalog: Catalog): StoreContext {
  const facts = factsOf(catalog);
  const list = (prefix: string): Promise<ObjectFacts[]> =>
    Promise.resolve(facts.filter(({ key }) => key.startsWith(prefix)));
  const objects: ObjectStore = {
    list,
    head: async (key) => (await list(key)).find((one) => one.key === key) ?? null,
    get: (key) => contentOf(catalog, key),
    put: () => Promise.reject(onlyRead()),
    putFromParts: () => Promise.reject(onlyRead()),
  };
  return { objects, walPrefix: WAL_PREFIX };
}

function factsOf({ bases, wal }: Catalog): ObjectFacts[] {
  const newest = wal.at(-1)?.receivedAt ?? '';
  return [
    ...bases.map(({ id, bytes, endedAt }) => ({ key: baseKeys(id).header, bytes, lastModified: endedAt })),
    ...wal.map(({ segment, bytes, receivedAt }) => ({
      key: `${WAL_PREFIX}${segment}.zst`,
      bytes,
      lastModified: receivedAt,
    })),
    ...timelinesOf({ wal })
      .filter((timeline) => timeline > 1)
      .map((timeline) => ({ key: WAL_PREFIX + historyName(timeline), bytes: 0, lastModified: newest })),
  ];
}

function contentOf(catalog: Catalog, key: string): Promise<Buffer> {
  const base = catalog.bases.find(({ id }) => baseKeys(id).header === key);
  if (base !== undefined) return Promise.resolve(headerOf(catalog, base));
  const timeline = timelinesOf(catalog).find((one) => WAL_PREFIX + historyName(one) === key);
  if (timeline !== undefined) return Promise.resolve(Buffer.from(guessedHistory(catalog, timeline)));
  return Promise.reject(stepFailure('Bug', `${key} cannot be read from the lists of the controller`));
}

/**
 * The stream brings the WAL of the backup itself inside the tar of the base, and the controller deletes the segment in which a full one began
 * (measured): what has to be in the list begins with the end of the backup.
 */
function headerOf({ database }: Catalog, base: ListedBase): Buffer {
  const { systemIdentifier, postgresMajor, walSegmentBytes } = database;
  const rawBytes = estimatedRawBytes(base.bytes);
  return headerJson({ ...base, rawBytes, systemIdentifier, postgresMajor, walSegmentBytes, neededFrom: base.stopLsn });
}

function onlyRead(): Error {
  return stepFailure('Bug', 'lists of the controller cannot be written');
}
