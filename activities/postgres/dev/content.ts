/** What of an archive a developer's database gets, and in which order. Pure. */
import { encodingOf, type Toc, type TocEntry } from './toc.js';

export type TableData = {
  entry: TocEntry;
  /** `schema.table`. */
  table: string;
  /** Id of the entry that makes the table. */
  tableId: number | null;
  /** Loaded by `--deferred`. */
  deferred: boolean;
  /** Rows of a partition that were dumped through the root: their COPY names another table. */
  viaRoot: boolean;
};

export type Content = {
  encoding: string;
  /** Statements that make empty tables and all that needs no rows, in the order of the archive. */
  schema: TocEntry[];
  tables: TableData[];
  sequences: TocEntry[];
  /** Ids for pg_restore, which alone knows how large objects are kept. */
  largeObjects: number[];
  /** Indexes, constraints, triggers … */
  post: PostItem[];
  /** In dependency order. */
  refreshes: TocEntry[];
  /** Refreshes whose views show rows of deferred tables. */
  staleRefreshes: Set<number>;
};

export type PostItem = {
  entry: TocEntry;
  /** Ids of entries that must be there before: data and other post items. */
  after: number[];
  /** Ids of the tables that it locks. */
  tables: number[];
  /** Id of the table that it belongs to; of a foreign key the one that points. */
  own: number | null;
  /** It takes its table for itself: no two of these at once. */
  exclusive: boolean;
  /** A foreign key from a loaded table to one that is loaded later: it cannot be proven yet. */
  unproven: boolean;
};

/** Not for a copy: it would talk to other servers, belongs to the server and not to the database, or is made anew. */
const LEFT_OUT = new Set([
  ...['DATABASE', 'DATABASE PROPERTIES', 'ENCODING', 'STDSTRINGS', 'SEARCHPATH', '<Init>', 'TABLESPACE'],
  ...['ACL', 'DEFAULT ACL', 'SECURITY LABEL', 'STATISTICS DATA'],
  ...['SUBSCRIPTION', 'SUBSCRIPTION TABLE', 'PUBLICATION', 'PUBLICATION TABLE', 'PUBLICATION TABLES IN SCHEMA'],
]);
const LARGE_OBJECTS = new Set(['BLOB', 'BLOB METADATA', 'BLOBS', 'BLOB COMMENTS']);
const EXCLUSIVE = new Set(['CONSTRAINT', 'INDEX ATTACH', 'RULE', 'ROW SECURITY', 'POLICY', 'CHECK CONSTRAINT']);

/** `deferred`: globs of tables, as `schema.table` or `table`; a partitioned table stands for all of its partitions. */
export function contentOf(toc: Pick<Toc, 'entries'>, options: { deferred: readonly string[] }): Content {
  const byId = new Map(toc.entries.map((entry) => [entry.id, entry]));
  const kept = toc.entries.filter((entry) => isKept(entry, byId));
  const deferredTables = deferredOf(toc.entries, options.deferred);
  const tables = kept
    .filter(({ desc }) => desc === 'TABLE DATA')
    .map((entry) => tableData(entry, byId, deferredTables));
  const refreshes = kept.filter(({ desc }) => desc === 'MATERIALIZED VIEW DATA');
  const data = new Set(['TABLE DATA', 'SEQUENCE SET', 'MATERIALIZED VIEW DATA']);
  const rest = kept.filter(({ desc }) => !data.has(desc) && !LARGE_OBJECTS.has(desc));
  const post = rest.filter((entry) => isPost(entry, byId));
  const isLate = new Set(post.map(({ id }) => id));
  return {
    encoding: encodingOf(toc.entries),
    schema: rest.filter(({ id }) => !isLate.has(id)),
    tables,
    sequences: kept.filter(({ desc }) => desc === 'SEQUENCE SET'),
    largeObjects: kept.filter(({ desc }) => LARGE_OBJECTS.has(desc)).map(({ id }) => id),
    post: post.map((entry) => postItem(entry, byId, tables, deferredTables)),
    refreshes,
    staleRefreshes: staleOf(refreshes, byId, deferredTables),
  };
}

function isKept(entry: TocEntry, byId: ReadonlyMap<number, TocEntry>): boolean {
  if (LEFT_OUT.has(entry.desc)) return false;
  if (entry.desc !== 'COMMENT') return true;
  return !entry.dependsOn.some((id) => LEFT_OUT.has(byId.get(id)?.desc ?? ''));
}

/** A comment belongs where its object is made. */
function isPost(entry: TocEntry, byId: ReadonlyMap<number, TocEntry>): boolean {
  if (entry.section !== 'none') return entry.section === 'post-data';
  return entry.dependsOn.some((id) => byId.get(id)?.section === 'post-data');
}

function tableData(
  entry: TocEntry,
  byId: ReadonlyMap<number, TocEntry>,
  deferredTables: ReadonlySet<number>,
): TableData {
  const tableId = entry.dependsOn.find((id) => isTable(byId.get(id))) ?? null;
  return {
    entry,
    table: nameOf(entry),
    tableId,
    deferred: tableId !== null && deferredTables.has(tableId),
    viaRoot: entry.sql.startsWith('-- load via partition root'),
  };
}

/** `schema.name` as people write it. */
function nameOf({ schema, tag }: Pick<TocEntry, 'schema' | 'tag'>): string {
  return `${schema ?? ''}.${tag}`;
}

function isTable(entry: TocEntry | undefined): boolean {
  return entry !== undefined && ['TABLE', 'FOREIGN TABLE', 'MATERIALIZED VIEW'].includes(entry.desc);
}

function deferredOf(entries: readonly TocEntry[], globs: readonly string[]): Set<number> {
  const parents = new Map<number, number[]>();
  for (const { desc, dependsOn } of entries) {
    const [parent, child] = dependsOn;
    if (desc === 'TABLE ATTACH' && parent !== undefined && child !== undefined) parents.set(child, [parent]);
  }
  const named = new Set(entries.filter((entry) => isTable(entry) && matches(entry, globs)).map(({ id }) => id));
  const isDeferred = (id: number): boolean => named.has(id) || (parents.get(id) ?? []).some(isDeferred);
  return new Set(entries.filter((entry) => isTable(entry) && isDeferred(entry.id)).map(({ id }) => id));
}

/** `*` stands for any characters, `?` for one. A glob with a dot is about `schema.table`, one without about the table in any schema. */
export function matches(entry: Pick<TocEntry, 'schema' | 'tag'>, globs: readonly string[]): boolean {
  return globs.some((glob) => {
    const text = glob
      .replace(/[.+^${}()|[\]\\]/g, '\\$&')
      .replaceAll('*', '.*')
      .replaceAll('?', '.');
    return new RegExp(`^${text}$`, 's').test(glob.includes('.') ? nameOf(entry) : entry.tag);
  });
}

function postItem(
  entry: TocEntry,
  byId: ReadonlyMap<number, TocEntry>,
  tables: readonly TableData[],
  deferredTables: ReadonlySet<number>,
): PostItem {
  const dataOf = new Map(tables.flatMap(({ tableId, entry: data }) => (tableId === null ? [] : [[tableId, data.id]])));
  const involved = entry.dependsOn.filter((id) => isTable(byId.get(id)));
  const own = involved.length === 1 ? (involved[0] ?? null) : ownTable(entry, involved, byId);
  const referred = entry.desc === 'FK CONSTRAINT' ? involved.filter((id) => id !== own) : [];
  const isDeferred = (id: number | null): boolean => id !== null && deferredTables.has(id);
  return {
    entry,
    after: [
      ...entry.dependsOn.filter((id) => byId.get(id)?.section === 'post-data'),
      ...involved.flatMap((id) => dataOf.get(id) ?? []),
    ],
    tables: involved,
    own,
    exclusive: EXCLUSIVE.has(entry.desc),
    unproven: referred.some(isDeferred) && !isDeferred(own),
  };
}

/** What belongs to a table has its name in front of its own: `orders orders_customer_fkey`. */
function ownTable(entry: TocEntry, involved: readonly number[], byId: ReadonlyMap<number, TocEntry>): number | null {
  const isOwner = (table: TocEntry | undefined): boolean =>
    table !== undefined && table.schema === entry.schema && entry.tag.startsWith(`${table.tag} `);
  return involved.find((id) => isOwner(byId.get(id))) ?? null;
}

/** Views show what is below them, however deep. */
function staleOf(
  refreshes: readonly TocEntry[],
  byId: ReadonlyMap<number, TocEntry>,
  deferredTables: ReadonlySet<number>,
): Set<number> {
  const known = new Map<number, boolean>();
  const reaches = (id: number): boolean => {
    const before = known.get(id);
    if (before !== undefined) return before;
    known.set(id, false);
    const found = deferredTables.has(id) || (byId.get(id)?.dependsOn ?? []).some(reaches);
    known.set(id, found);
    return found;
  };
  return new Set(refreshes.filter(({ id }) => reaches(id)).map(({ id }) => id));
}
