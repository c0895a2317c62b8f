/** Where barman-cloud keeps what: `<server>/base/<backup id>/…` and `<server>/wals/<16 hex>/…` below the configured prefix. */
import { isHistoryName } from '../../../shared/timeline.js';
import type { Compression } from '../codec.js';

/** One tar of a base. `part` is `data`, or the object id of a tablespace; `number` counts the tars into which a part was cut. */
export type ArchiveName = { file: string; part: string; number: number; ending: string };

/** Endings that barman-cloud-backup and barman-cloud-wal-archive write. */
const COMPRESSIONS: readonly Compression[] = ['gz', 'bz2', 'xz', 'snappy', 'zst', 'lz4'];

const ARCHIVE = /^(data|\d+)(?:_(\d{4,}))?\.tar(?:\.([a-z0-9.]+))?$/;
const WAL_FILE = /^([0-9A-F]{24}(?:\.partial|\.[0-9A-F]{8}\.backup)?|[0-9A-F]{8}\.history)(?:\.([a-z0-9.]+))?$/;

/** What an ending stands for, null for one that barman does not write. */
export function compressionOf(ending: string): Compression | null {
  return ending === '' ? 'none' : (COMPRESSIONS.find((one) => one === ending) ?? null);
}

/** Folder of all bases of a server. */
export function baseFolder(server: string): string {
  return `${server}/base/`;
}

/** Key of an object of one base. */
export function baseKey(server: string, id: string, file: string): string {
  return `${baseFolder(server)}${id}/${file}`;
}

/** Folder of the WAL of a server. */
export function walFolder(server: string): string {
  return `${server}/wals/`;
}

/** Key of a WAL file: segments lie in a folder of the first 16 digits of their name, histories beside those folders. */
export function walKey(server: string, file: string): string {
  const folder = isHistoryName(file.slice(0, 16)) ? '' : `${file.slice(0, 16)}/`;
  return walFolder(server) + folder + file;
}

/** Splits the file name of a tar of a base; null when it is none. */
export function parseArchiveName(file: string): ArchiveName | null {
  const match = ARCHIVE.exec(file);
  if (match?.[1] === undefined) return null;
  return { file, part: match[1], number: Number(match[2] ?? 0), ending: match[3] ?? '' };
}

/** Splits the file name of an archived WAL file into its plain name and what was appended; null when it is none. */
export function parseWalFileName(file: string): { name: string; ending: string } | null {
  const match = WAL_FILE.exec(file);
  return match?.[1] === undefined ? null : { name: match[1], ending: match[2] ?? '' };
}
