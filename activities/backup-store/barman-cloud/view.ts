/**
 * A barman-cloud bucket as if it had our own layout, so that window, target, boundary, holes and spool are the same code as for store `s3`.
 * Only reads. What the bucket has and this program cannot use is not hidden: it comes out as notes.
 */
import { stepFailure } from '../../lib/failure.js';
import { baseKeys } from '../base-catalog.js';
import type { ObjectFacts, ObjectStore } from '../s3-objects.js';
import type { StoreContext } from '../timeline-archive.js';
import { parseWalObjectName } from '../wal-archive.js';
import { readCatalog, type BarmanBase } from './catalog.js';
import { parseWalFileName, walFolder, walKey } from './object-names.js';

type Readable = Pick<ObjectStore, 'list' | 'get'>;

export type BarmanView = StoreContext & {
  /** What was seen so far and cannot be used, one sentence each. */
  notes(): string[];
};

const BASES_FOLDER = 'bases/';

/** A view for one look at the bucket: nothing is remembered from one look to the next. */
export function createBarmanView(objects: Readable, server: string): BarmanView {
  const folder = walFolder(server);
  const headers = new Map<string, BarmanBase>();
  const notes = { bases: [] as string[], wal: [] as string[] };

  const listHeaders = async (): Promise<ObjectFacts[]> => {
    const catalog = await readCatalog(objects, server);
    notes.bases = catalog.notes;
    return catalog.bases.map((base) => {
      const key = baseKeys(base.header.id).header;
      headers.set(key, base);
      return { key, bytes: 0, lastModified: base.header.endedAt };
    });
  };
  const listWal = async (wanted: string): Promise<ObjectFacts[]> => {
    const found = await objects.list(folder + foldersOf(wanted));
    const { readable, note } = sortWal(found, server);
    notes.wal = note === null ? [] : [note];
    return readable.filter(({ key }) => key.startsWith(folder + wanted));
  };
  return {
    walPrefix: folder,
    notes: () => [...notes.bases, ...notes.wal],
    objects: {
      async list(prefix) {
        if (prefix === BASES_FOLDER) return listHeaders();
        // Nothing else of our layout is there.
        return prefix.startsWith(folder) ? listWal(prefix.slice(folder.length)) : [];
      },
      async get(key, range, into) {
        const base = headers.get(key);
        if (base !== undefined) return Buffer.from(JSON.stringify(base.header));
        const real = key.startsWith(folder) ? walKey(server, key.slice(folder.length)) : key;
        return objects.get(real, range, into);
      },
      head: () => Promise.reject(readOnly('look at one object')),
      put: () => Promise.reject(readOnly('write an object')),
      putFromParts: () => Promise.reject(readOnly('write an object')),
    },
  };
}

/** The refusal of everything that would write into the bucket. */
export function readOnly(what: string): Error {
  return stepFailure('NotAllowed', `a store of kind barman-cloud is only read: it does not ${what}`, {
    hint: 'backups of this environment are made by barman-cloud or CloudNativePG: do it there',
  });
}

/** The part of the real key that a wanted name has too: its folder, when the name is long enough to tell. */
function foldersOf(wanted: string): string {
  if (wanted.length < 24) return '';
  return `${wanted.slice(0, 16)}/${wanted}`;
}

/** The WAL files by their plain place, and a sentence about those in a compression that is not readable here. */
function sortWal(found: readonly ObjectFacts[], server: string): { readable: ObjectFacts[]; note: string | null } {
  const folder = walFolder(server);
  const readable = new Map<string, ObjectFacts>();
  const foreign: { name: string; ending: string }[] = [];
  for (const { key, ...facts } of found) {
    const file = key.slice(key.lastIndexOf('/') + 1);
    // An object in another folder than its own is none that barman would find.
    const parsed = walKey(server, file) === key ? parseWalFileName(file) : null;
    if (parsed === null) continue;
    if (parseWalObjectName(file) === null) foreign.push(parsed);
    else readable.set(file, { key: folder + file, ...facts });
  }
  const names = new Set([...readable.keys()].map((file) => parseWalFileName(file)?.name));
  return { readable: [...readable.values()], note: noteOf(foreign.filter(({ name }) => !names.has(name))) };
}

function noteOf(foreign: readonly { name: string; ending: string }[]): string | null {
  const [first] = foreign;
  const last = foreign.at(-1);
  if (first === undefined || last === undefined) return null;
  const endings = [...new Set(foreign.map(({ ending }) => `.${ending}`))].join(', ');
  return `${String(foreign.length)} wal files (${first.name} to ${last.name}) end with ${endings}, which pgr cannot read: they count as missing`;
}
