/**
 * A stanza as if it had our own layout, so that window, target, boundary, holes and spool are the same code as for store `s3`. Only reads. What the
 * repository has and this program cannot use is not hidden: it comes out as notes.
 */
import { z } from 'zod';

import { stepFailure } from '../../lib/failure.js';
import { baseKeys } from '../base-catalog.js';
import { createLimit } from '../limit.js';
import type { ObjectFacts } from '../s3-objects.js';
import type { StoreContext } from '../timeline-archive.js';
import { parseWalObjectName } from '../wal-archive.js';
import { readCatalog, type ArchiveFolder, type Catalog } from './catalog.js';
import { ABANDONED_MARK, infoArgs, listArgs, readArgs } from './commands.js';
import { parseInfo, repositoryProblems, type StanzaInfo } from './info.js';
import type { Pgbackrest } from './run.js';

export type Stanza = {
  pgbackrest: Pgbackrest;
  stanza: string;
  /** The repository that the config names, null for all of them. */
  repo: number | null;
  /** The cluster that the config names. */
  systemIdentifier: string | null;
};

export type StanzaView = StoreContext & {
  info(): Promise<StanzaInfo>;
  catalog(): Promise<Catalog>;
  /** What was seen so far and cannot be used, one sentence each. */
  notes(): Promise<string[]>;
};

const BASES_FOLDER = 'bases/';
const ABANDONED_FOLDER = 'abandoned/';
const WAL_PREFIX = 'wal/';

/** Every file is read by a process of its own, and the repository may be behind ssh. */
const READS_AT_ONCE = 4;

const listingSchema = z.record(
  z.string(),
  z.object({ type: z.string(), size: z.int().nonnegative().optional(), time: z.number().optional() }),
);

/** A view for one look: what `info` says is asked once. `live` is the cluster whose WAL is wanted, null for the one that the stanza serves now. */
export function createStanzaView(source: Stanza, live: string | null): StanzaView {
  const { pgbackrest, stanza } = source;
  const places = new Map<string, { repo: number; file: string }>();
  const unreadable = new Set<string>();
  const limit = createLimit(READS_AT_ONCE);
  let asked: Promise<StanzaInfo> | null = null;
  const info = (): Promise<StanzaInfo> => (asked ??= readInfo(source));
  const catalog = async (): Promise<Catalog> => readCatalog(await info(), live ?? source.systemIdentifier);

  const listWal = async (wanted: string): Promise<ObjectFacts[]> => {
    const facts = new Map<string, ObjectFacts>();
    for (const folder of (await catalog()).archives) {
      for (const file of await listFolder(source, folder, wanted)) {
        const key = WAL_PREFIX + file.name;
        if (parseWalObjectName(file.name) === null) {
          if (isWal(file.name)) unreadable.add(file.name);
        } else if (file.name.startsWith(wanted) && !facts.has(key)) {
          facts.set(key, { key, bytes: file.bytes, lastModified: file.lastModified });
          places.set(key, { repo: folder.repo, file: file.path });
        }
      }
    }
    return [...facts.values()];
  };
  const readObject = async (key: string): Promise<Buffer> => {
    const place = places.get(key);
    if (place !== undefined) return limit(() => pgbackrest.read(readArgs(place.repo, place.file)));
    const base = (await catalog()).bases.find(({ header }) => baseKeys(header.id).header === key);
    if (base !== undefined) return Buffer.from(JSON.stringify(base.header));
    throw stepFailure('NotFound', `stanza ${stanza} has no ${key}`);
  };
  return {
    walPrefix: WAL_PREFIX,
    info,
    catalog,
    notes: async () => [...repositoryProblems(await info()), ...(await catalog()).notes, ...noteOf([...unreadable])],
    objects: {
      async list(prefix) {
        if (prefix === BASES_FOLDER) return (await catalog()).bases.map(({ header }) => headerFacts(header));
        if (prefix === ABANDONED_FOLDER) return abandonedTimelines(await info()).map(markFacts);
        return prefix.startsWith(WAL_PREFIX) ? listWal(prefix.slice(WAL_PREFIX.length)) : [];
      },
      async get(key, range, into) {
        const content = await readObject(key);
        const part = range === undefined ? content : content.subarray(range.start, range.end + 1);
        return into === undefined ? part : into.subarray(0, part.copy(into));
      },
      head: () => Promise.reject(notOurs('look at one object')),
      put: () => Promise.reject(notOurs('write an object')),
      putFromParts: () => Promise.reject(notOurs('write an object')),
    },
  };
}

/** Asks for the stanza now. Throws as {@link parseInfo}; IdentityMismatch when it is not of the cluster that the config names. */
export async function readInfo({ pgbackrest, stanza, repo, systemIdentifier }: Stanza): Promise<StanzaInfo> {
  const info = parseInfo((await pgbackrest.read(infoArgs(repo))).toString('utf8'), stanza);
  const systems = [...new Set(info.db.map((one) => one['system-id']))];
  if (systemIdentifier === null || systems.length === 0 || systems.includes(systemIdentifier)) return info;
  throw stepFailure(
    'IdentityMismatch',
    `stanza ${stanza} is of system ${systems.join(', ')}, the config says ${systemIdentifier}`,
    { hint: 'nothing was touched; correct backups.stanza or backups.systemIdentifier in the config' },
  );
}

/** Timelines that an annotation of any base marks as not production's history. */
export function abandonedTimelines({ backup }: StanzaInfo): number[] {
  const names = backup.flatMap(({ annotation }) => Object.keys(annotation ?? {}));
  const marked = names.flatMap((name) => {
    const digits = name.startsWith(ABANDONED_MARK) ? name.slice(ABANDONED_MARK.length) : '';
    return /^[0-9A-F]{8}$/.test(digits) ? [Number.parseInt(digits, 16)] : [];
  });
  return [...new Set(marked)];
}

function notOurs(what: string): Error {
  return stepFailure('NotAllowed', `the repository is pgbackrest's: pgr does not ${what} there`);
}

type Found = { name: string; path: string; bytes: number; lastModified: string };

/** Files of an archive whose names may begin with `wanted`: one folder when that says which, else all of them. */
async function listFolder(
  { pgbackrest, stanza }: Stanza,
  { repo, id }: ArchiveFolder,
  wanted: string,
): Promise<Found[]> {
  const root = `archive/${stanza}/${id}`;
  const segment = /^[0-9A-F]{24}/.exec(wanted)?.[0];
  const isHistory = /^[0-9A-F]{8}\.h/.test(wanted);
  const folder = segment === undefined ? root : `${root}/${segment.slice(0, 16)}`;
  const args =
    segment === undefined && !isHistory
      ? listArgs(repo, folder, { recurse: true })
      : listArgs(repo, folder, { filter: `^${wanted.slice(0, 24).replace('.', '\\.')}` });
  const text = (await pgbackrest.read(args)).toString('utf8').trim();
  return Object.entries(parseListing(text, folder)).flatMap(([relative, { type, size = 0, time = 0 }]) => {
    if (type !== 'file') return [];
    const name = relative.slice(relative.lastIndexOf('/') + 1);
    return [{ name, path: `${folder}/${relative}`, bytes: size, lastModified: new Date(time * 1000).toISOString() }];
  });
}

function parseListing(text: string, folder: string): z.output<typeof listingSchema> {
  try {
    return listingSchema.parse(text === '' ? {} : JSON.parse(text));
  } catch (cause) {
    throw stepFailure('CommandFailed', `pgbackrest repo-ls ${folder} gave an answer that is not understood`, { cause });
  }
}

function isWal(name: string): boolean {
  return /^[0-9A-F]{24}(\.partial)?-/.test(name);
}

function noteOf(names: readonly string[]): string[] {
  const [first] = [...names].sort();
  if (first === undefined) return [];
  return [
    `${String(names.length)} wal files (the first is ${first}) are compressed in a way that pgr cannot read: they count as missing`,
  ];
}

function headerFacts({ id, endedAt }: { id: string; endedAt: string }): ObjectFacts {
  return { key: baseKeys(id).header, bytes: 0, lastModified: endedAt };
}

function markFacts(timeline: number): ObjectFacts {
  const name = timeline.toString(16).toUpperCase().padStart(8, '0');
  return { key: `${ABANDONED_FOLDER}${name}.json`, bytes: 0, lastModified: '' };
}
