/**
 * Reads a tar stream as pg_basebackup writes it (ustar, src/port/tar.c) without keeping it: where each file's content starts, and the
 * content of the few files that are asked for.
 */

export type TarEntry = {
  path: string;
  type: 'file' | 'dir' | 'symlink';
  /** Offset of the content in the stream. */
  rawOffset: number;
  size: number;
  /** Permission bits. */
  mode: number;
  /** Target of a symlink. */
  link?: string;
};

export type TarIndexer = {
  feed(piece: Buffer): void;
  /** All entries in stream order; throws when the stream stopped inside an entry. */
  end(): TarEntry[];
  /** Content of a captured file; null when the stream had no such file. */
  captured(path: string): Buffer | null;
};

const BLOCK = 512;

type State = {
  entries: TarEntry[];
  header: Buffer;
  headerFilled: number;
  offset: number;
  /** Content bytes and padding left of the current entry. */
  contentLeft: number;
  paddingLeft: number;
  ended: boolean;
  captureTo: Buffer[] | null;
};

/** An indexer that keeps the content of the files named in `capture`. */
export function createTarIndexer(capture: readonly string[]): TarIndexer {
  const kept = new Map<string, Buffer[]>();
  const state: State = {
    entries: [],
    header: Buffer.alloc(BLOCK),
    headerFilled: 0,
    offset: 0,
    contentLeft: 0,
    paddingLeft: 0,
    ended: false,
    captureTo: null,
  };
  return {
    feed(piece) {
      let at = 0;
      while (at < piece.length) at += step(state, piece, at, capture, kept);
    },
    end() {
      if (state.headerFilled > 0 || state.contentLeft > 0) throw new Error('the tar stream is cut');
      return state.entries;
    },
    captured(path) {
      const parts = kept.get(path);
      return parts === undefined ? null : Buffer.concat(parts);
    },
  };
}

/** Consumes bytes from `piece` at `at`; returns how many. */
function step(
  state: State,
  piece: Buffer,
  at: number,
  capture: readonly string[],
  kept: Map<string, Buffer[]>,
): number {
  const available = piece.length - at;
  if (state.contentLeft > 0) {
    const taken = Math.min(available, state.contentLeft);
    state.captureTo?.push(Buffer.from(piece.subarray(at, at + taken)));
    state.contentLeft -= taken;
    state.offset += taken;
    return taken;
  }
  if (state.paddingLeft > 0) {
    const taken = Math.min(available, state.paddingLeft);
    state.paddingLeft -= taken;
    state.offset += taken;
    return taken;
  }
  const taken = Math.min(available, BLOCK - state.headerFilled);
  piece.copy(state.header, state.headerFilled, at, at + taken);
  state.headerFilled += taken;
  state.offset += taken;
  if (state.headerFilled === BLOCK) {
    state.headerFilled = 0;
    startEntry(state, capture, kept);
  }
  return taken;
}

function startEntry(state: State, capture: readonly string[], kept: Map<string, Buffer[]>): void {
  // The end of an archive is two blocks of zeros; anything after the first is filling.
  if (state.header.every((byte) => byte === 0)) {
    state.ended = true;
    return;
  }
  if (state.ended) throw new Error('the tar stream goes on after its end');
  const entry = parseTarHeader(state.header, state.offset);
  state.entries.push(entry);
  state.contentLeft = entry.size;
  state.paddingLeft = (BLOCK - (entry.size % BLOCK)) % BLOCK;
  state.captureTo = null;
  if (entry.type === 'file' && capture.includes(entry.path)) {
    state.captureTo = [];
    kept.set(entry.path, state.captureTo);
  }
}

/** One header block. `contentOffset` is where its content starts in the stream. Throws for what PostgreSQL never writes. */
export function parseTarHeader(header: Buffer, contentOffset: number): TarEntry {
  if (numberAt(header, 148, 8) !== checksumOf(header)) throw new Error('the tar stream has a broken header');
  const prefix = textAt(header, 345, 155);
  const name = textAt(header, 0, 100);
  const path = (prefix === '' ? name : `${prefix}/${name}`).replace(/^\.\//, '').replace(/\/+$/, '');
  const flag = String.fromCharCode(header[156] ?? 0);
  const mode = numberAt(header, 100, 8) & 0o7777;
  const common = { path, rawOffset: contentOffset, mode };
  if (flag === '0' || flag === '\0') return { ...common, type: 'file', size: numberAt(header, 124, 12) };
  if (flag === '5') return { ...common, type: 'dir', size: 0 };
  if (flag === '2') return { ...common, type: 'symlink', size: 0, link: textAt(header, 157, 100) };
  throw new Error(`the tar stream has an entry of type "${flag}" (${path})`);
}

function textAt(header: Buffer, start: number, length: number): string {
  const field = header.subarray(start, start + length);
  const end = field.indexOf(0);
  return field.subarray(0, end === -1 ? length : end).toString('utf8');
}

/** Octal text, or base 256 when the first bit is set (files of 8 GiB and more). */
function numberAt(header: Buffer, start: number, length: number): number {
  const first = header[start] ?? 0;
  if ((first & 0x80) !== 0) {
    let value = first & 0x7f;
    for (let index = start + 1; index < start + length; index += 1) value = value * 256 + (header[index] ?? 0);
    return value;
  }
  const text = textAt(header, start, length).trim();
  return text === '' ? 0 : Number.parseInt(text, 8);
}

/** Sum of all bytes with the checksum field itself taken as spaces. */
function checksumOf(header: Buffer): number {
  let sum = 8 * 0x20;
  for (let index = 0; index < BLOCK; index += 1) if (index < 148 || index >= 156) sum += header[index] ?? 0;
  return sum;
}
