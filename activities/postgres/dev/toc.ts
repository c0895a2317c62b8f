/**
 * Table of contents of an archive of pg_dump (custom format, or toc.dat of the directory format), format versions 1.12 to 1.16: PostgreSQL 10 and
 * newer (src/bin/pg_dump/pg_backup_archiver.c, ReadHead and ReadToc; pg_backup_custom.c and pg_backup_directory.c, ReadExtraToc). Pure.
 */
export type Section = 'none' | 'pre-data' | 'data' | 'post-data';

export type TocEntry = {
  id: number;
  /** The archive holds data for it. */
  hasData: boolean;
  tag: string;
  desc: string;
  section: Section;
  sql: string;
  dropSql: string;
  copySql: string;
  schema: string | null;
  /** Table access method, null for what has none. */
  accessMethod: string | null;
  dependsOn: number[];
  /** Custom format: where its data begin, null when pg_dump could not seek back to write it down. */
  offset: number | null;
  /** Directory format: its file, without the ending that the compression adds. */
  fileName: string | null;
};

export type ArchiveCompression = 'none' | 'gzip' | 'lz4' | 'zstd';

export type Toc = {
  format: 'custom' | 'directory';
  version: number;
  /** Bytes of an integer in data blocks. */
  intBytes: number;
  compression: ArchiveCompression;
  database: string | null;
  serverVersion: string | null;
  entries: TocEntry[];
  /** Where the table of contents ends: in the custom format the data follow. */
  endsAt: number;
};

/** The buffer ends before the table of contents does. */
export class TocCutOff extends Error {}

/** The table of contents of a directory calls itself a tar. */
const FORMATS: Readonly<Record<number, Toc['format']>> = { 1: 'custom', 3: 'directory', 5: 'directory' };
const COMPRESSIONS: readonly ArchiveCompression[] = ['none', 'gzip', 'lz4', 'zstd'];
const SECTIONS: Readonly<Record<number, Section>> = { 2: 'pre-data', 3: 'data', 4: 'post-data' };
const NEWEST = 16;
const OLDEST = 12;
const OFFSET_SET = 2;
/** No archive has more; a larger count is damage. */
const MOST_ENTRIES = 5_000_000;

/** Reads the beginning of an archive. Throws TocCutOff when `head` is too short, and Error (with the reason) for what is none. */
export function parseToc(head: Buffer): Toc {
  const reader = new TocReader(head);
  if (reader.bytes(5).toString('latin1') !== 'PGDMP') throw new Error('it does not begin with PGDMP');
  const major = reader.byte();
  const version = reader.byte();
  reader.byte();
  if (major !== 1 || version > NEWEST || version < OLDEST) {
    throw new Error(
      `its format is ${String(major)}.${String(version)}, known are 1.${String(OLDEST)} to 1.${String(NEWEST)}`,
    );
  }
  reader.intBytes = reader.byte();
  const offsetBytes = reader.byte();
  const format = FORMATS[reader.byte()];
  if (format === undefined) throw new Error('it is neither of the custom nor of the directory format');
  const compression = readCompression(reader, version);
  for (let field = 0; field < 7; field += 1) reader.int();
  const database = reader.text();
  const serverVersion = reader.text();
  reader.text();
  const count = reader.int();
  if (count < 0 || count > MOST_ENTRIES) throw new Error(`it claims to have ${String(count)} entries`);
  const entries: TocEntry[] = [];
  for (let at = 0; at < count; at += 1) entries.push(readEntry(reader, { version, format, offsetBytes }));
  decodeTexts(entries, reader);
  const { intBytes, at: endsAt } = reader;
  return { format, version, intBytes, compression, database, serverVersion, entries, endsAt };
}

function readCompression(reader: TocReader, version: number): ArchiveCompression {
  if (version < 15) return reader.int() === 0 ? 'none' : 'gzip';
  const found = COMPRESSIONS[reader.byte()];
  if (found === undefined) throw new Error('it is compressed in a way that is not known here');
  return found;
}

function readEntry(
  reader: TocReader,
  { version, format, offsetBytes }: { version: number; format: Toc['format']; offsetBytes: number },
): TocEntry {
  const id = reader.int();
  const hasData = reader.int() !== 0;
  reader.text(); // oid of the catalog
  reader.text(); // oid of the object
  const tag = reader.text() ?? '';
  const desc = reader.text() ?? '';
  const section = SECTIONS[reader.int()] ?? 'none';
  const sql = reader.text() ?? '';
  const dropSql = reader.text() ?? '';
  const copySql = reader.text() ?? '';
  const schema = reader.text();
  reader.text(); // tablespace
  const accessMethod = version >= 14 ? reader.text() : null;
  if (version >= 16) reader.int(); // kind of relation
  reader.text(); // owner
  reader.text(); // with oids
  const dependsOn: number[] = [];
  for (let one = reader.text(); one !== null; one = reader.text()) dependsOn.push(Number(one));
  const place =
    format === 'custom'
      ? { offset: reader.offset(offsetBytes), fileName: null }
      : { offset: null, fileName: reader.text() };
  return { id, hasData, tag, desc, section, sql, dropSql, copySql, schema, accessMethod, dependsOn, ...place };
}

/** The texts of an archive are in its encoding, which stands in one of them. */
function decodeTexts(entries: TocEntry[], reader: TocReader): void {
  const encoding = encodingOf(entries);
  if (encoding === 'UTF8' || encoding === 'SQL_ASCII') {
    for (const entry of entries) eachText(entry, (text) => reader.utf8(text));
    return;
  }
  const decoder = new TextDecoder(labelOf(encoding));
  for (const entry of entries) eachText(entry, (text) => decoder.decode(Buffer.from(text, 'latin1')));
}

function eachText(entry: TocEntry, decode: (text: string) => string): void {
  for (const field of ['tag', 'sql', 'dropSql', 'copySql'] as const) entry[field] = decode(entry[field]);
  if (entry.schema !== null) entry.schema = decode(entry.schema);
}

/** Encoding of the texts and the data of an archive, as PostgreSQL names it. */
export function encodingOf(entries: readonly Pick<TocEntry, 'desc' | 'sql'>[]): string {
  const sql = entries.find(({ desc }) => desc === 'ENCODING')?.sql ?? '';
  return /client_encoding = '([^']+)'/.exec(sql)?.[1] ?? 'UTF8';
}

/** PostgreSQL's name of an encoding as the platform's decoder calls it. */
function labelOf(encoding: string): string {
  const latin: Readonly<Record<string, string>> = { LATIN1: 'iso-8859-1', LATIN2: 'iso-8859-2', LATIN9: 'iso-8859-15' };
  const windows = /^WIN(\d+)$/.exec(encoding)?.[1];
  if (windows !== undefined) return `windows-${windows}`;
  return latin[encoding] ?? encoding.toLowerCase().replaceAll('_', '-');
}

class TocReader {
  readonly #buffer: Buffer;
  at = 0;
  intBytes = 4;

  constructor(buffer: Buffer) {
    this.#buffer = buffer;
  }

  bytes(length: number): Buffer {
    const end = this.at + length;
    if (end > this.#buffer.length) throw new TocCutOff();
    const found = this.#buffer.subarray(this.at, end);
    this.at = end;
    return found;
  }

  byte(): number {
    return this.bytes(1)[0] ?? 0;
  }

  int(): number {
    const negative = this.byte() !== 0;
    const value = this.bytes(this.intBytes).readUIntLE(0, Math.min(this.intBytes, 6));
    return negative ? -value : value;
  }

  /** Bytes as text, one character each: the encoding is not known yet. */
  text(): string | null {
    const length = this.int();
    return length < 0 ? null : this.bytes(length).toString('latin1');
  }

  utf8(text: string): string {
    return Buffer.from(text, 'latin1').toString('utf8');
  }

  offset(bytes: number): number | null {
    const flag = this.byte();
    const value = this.bytes(bytes).readUIntLE(0, Math.min(bytes, 6));
    return flag === OFFSET_SET ? value : null;
  }
}
