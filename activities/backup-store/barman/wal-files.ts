/** Which files of Barman's directories are WAL of the archive, and in what form. Pure. */
import { isHistoryName, isSegmentName } from '../../../shared/timeline.js';
import type { FoundFile } from './files.js';

/** `by-command`: in a form that only Barman itself reads (bzip2, xz, snappy, gpg, a filter of the team). */
export type WalForm = 'none' | 'gz' | 'zst' | 'lz4' | 'by-command';

export type StoredWal = {
  /** Plain name. */
  name: string;
  file: FoundFile;
  form: WalForm;
  /** What `file` is the start of: pg_receivewal writes it at this moment. */
  isGrowing: boolean;
};

/** Where a file was found; the archive wins over what is on its way there. */
export type WalPlace = 'archive' | 'incoming' | 'streaming';

const NAME = /^(?:[0-9A-F]{24}(?:\.partial|\.[0-9A-F]{8}\.backup)?|[0-9A-F]{8}\.history)$/;

const MAGICS: readonly (readonly [string, WalForm])[] = [
  ['1f8b', 'gz'],
  ['28b52ffd', 'zst'],
  ['04224d18', 'lz4'],
];

/**
 * The WAL in Barman's hands. What is complete in `streaming` or `incoming` is moved into the archive by `barman cron`, once a minute: it counts. The
 * `.partial` that a receiver writes counts under the name of its segment once it has begun; without it the last minutes of a server that died
 * would be given up.
 */
export function walOf(found: readonly { place: WalPlace; files: readonly FoundFile[] }[]): StoredWal[] {
  const byName = new Map<string, StoredWal>();
  const partials: FoundFile[] = [];
  for (const { place, files } of found) {
    for (const file of files) {
      if (!NAME.test(file.name)) continue;
      if (place === 'streaming' && file.name.endsWith('.partial')) partials.push(file);
      else if (!byName.has(file.name)) {
        byName.set(file.name, { name: file.name, file, form: formOf(file), isGrowing: false });
      }
    }
  }
  for (const file of partials) {
    const name = file.name.slice(0, 24);
    // The receiver makes the file before the first byte of it arrives.
    if (byName.has(name) || !isWalPage(file.head)) continue;
    byName.set(name, { name, file, form: 'none', isGrowing: true });
  }
  return [...byName.values()];
}

/** The form of a file, by its first bytes. */
export function formOf({ name, head }: Pick<FoundFile, 'name' | 'head'>): WalForm {
  const hex = head.toString('hex');
  const magic = MAGICS.find(([start]) => hex.startsWith(start));
  if (magic !== undefined) return magic[1];
  const isSegment = isSegmentName(name) || name.endsWith('.partial');
  if (isSegment) return isWalPage(head) || head.length === 0 || isZero(head) ? 'none' : 'by-command';
  return isHistoryName(name) && !isText(head) ? 'by-command' : 'none';
}

/** The magic of a WAL page (0xD1xx, little-endian). */
function isWalPage(head: Buffer): boolean {
  return head.length >= 2 && head[1] === 0xd1;
}

/** A damaged segment is not one in a form of its own: Barman would hand out the same bytes. */
function isZero(head: Buffer): boolean {
  return head.every((byte) => byte === 0);
}

function isText(head: Buffer): boolean {
  return head.every((byte) => byte === 0x09 || byte === 0x0a || byte === 0x0d || (byte >= 0x20 && byte < 0x7f));
}
