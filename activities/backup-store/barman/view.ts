/** A Barman as if it had our own layout, so that window, target, boundary, holes and spool are the same code as for store `s3`. Only reads. */
import { DEFAULT_WAL_SEGMENT_BYTES } from '../../../shared/timeline.js';
import { stepFailure } from '../../lib/failure.js';
import { baseKeys } from '../base-catalog.js';
import { decompress } from '../codec.js';
import type { ObjectFacts, ObjectStore } from '../s3-objects.js';
import type { StoreContext } from '../timeline-archive.js';
import { listAbandoned } from './abandoned.js';
import { listWal, type BarmanPlaces } from './places.js';
import type { StoredWal } from './wal-files.js';

const WAL_PREFIX = 'wal/';
const BASES_FOLDER = 'bases/';
const ABANDONED_FOLDER = 'abandoned/';

/** Largest `--wal-segsize` that initdb allows. */
const LARGEST_SEGMENT_BYTES = 1024 * 1024 * 1024;

export type BarmanView = StoreContext & {
  /** What was seen so far and cannot be used, one sentence each. */
  notes(): string[];
};

/**
 * A view for one look: nothing is remembered from one look to the next but what cannot change.
 * @param segmentBytes size of what Barman hands out where only it can unpack a file
 */
export function createBarmanView(places: BarmanPlaces, segmentBytes = DEFAULT_WAL_SEGMENT_BYTES): BarmanView {
  const headers = new Map<string, Buffer>();
  const wal = new Map<string, StoredWal>();
  let notes: string[] = [];

  const listHeaders = async (): Promise<ObjectFacts[]> => {
    const catalog = await places.catalog.read();
    notes = catalog.notes;
    return catalog.headers.map((header) => {
      const key = baseKeys(header.id).header;
      headers.set(key, Buffer.from(JSON.stringify(header)));
      return { key, bytes: 0, lastModified: header.endedAt };
    });
  };
  const listFiles = async (prefix: string): Promise<ObjectFacts[]> =>
    (await listWal(places, prefix)).map((stored) => {
      const key = keyOf(stored);
      wal.set(key, stored);
      const { modifiedMs } = stored.file;
      const bytes = stored.form === 'by-command' ? segmentBytes : stored.file.bytes;
      const lastModified = new Date(modifiedMs).toISOString();
      return { key, bytes, lastModified, ...(stored.isGrowing ? { isGrowing: true } : {}) };
    });
  const objects: ObjectStore = {
    list: (prefix) => {
      if (prefix === BASES_FOLDER) return listHeaders();
      if (prefix === ABANDONED_FOLDER) return listMarks(places);
      // Nothing else of our layout is there.
      return prefix.startsWith(WAL_PREFIX) ? listFiles(prefix.slice(WAL_PREFIX.length)) : Promise.resolve([]);
    },
    async get(key, range, into) {
      const content = headers.get(key) ?? (await readWal(places, key, wal.get(key)));
      const part = range === undefined ? content : content.subarray(range.start, range.end + 1);
      return into === undefined ? part : into.subarray(0, part.copy(into));
    },
    head: () => Promise.reject(readOnly('look at one object')),
    put: () => Promise.reject(readOnly('write an object')),
    putFromParts: () => Promise.reject(readOnly('write an object')),
  };
  return { walPrefix: WAL_PREFIX, notes: () => notes, objects };
}

async function listMarks(places: BarmanPlaces): Promise<ObjectFacts[]> {
  const names = await listAbandoned(places);
  return names.map((name) => ({ key: ABANDONED_FOLDER + name, bytes: 0, lastModified: new Date(0).toISOString() }));
}

function keyOf({ name, form }: StoredWal): string {
  return `${WAL_PREFIX}${name}${form === 'none' || form === 'by-command' ? '' : `.${form}`}`;
}

/** The bytes that the listing announced. A file that was archived since (moved and compressed) is unpacked again: it is asked for as it was. */
async function readWal(places: BarmanPlaces, key: string, stored: StoredWal | undefined): Promise<Buffer> {
  if (stored === undefined) throw stepFailure('NotFound', `barman has no ${key.slice(WAL_PREFIX.length)}`);
  const { name, form } = stored;
  if (form === 'by-command') return places.barman.wal(name);
  const content = await places.files.read(stored.file.path);
  if (content !== null) return content;
  const moved = (await listWal(places, name)).find((one) => one.name === name);
  if (moved === undefined) throw stepFailure('NotFound', `barman does not have ${name} (any more)`);
  if (moved.form === 'by-command') return places.barman.wal(name);
  const now = await places.files.read(moved.file.path);
  if (now === null) throw stepFailure('StoreUnavailable', `${name} moves inside barman; it is looked for again`);
  return form === moved.form ? now : decompress(now, moved.form, LARGEST_SEGMENT_BYTES);
}

function readOnly(what: string): Error {
  return stepFailure('Bug', `the objects of a barman are only read: they do not ${what}`);
}
