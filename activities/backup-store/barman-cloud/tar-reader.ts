/**
 * Reads a tar stream as Python's tarfile writes it (POSIX pax, GNU names), piece by piece and without keeping it. Nothing in it is
 * trusted: names that lead out of the directory and members that are neither file, directory nor link are errors.
 */
import { parsePax, readTarHeader, TAR_BLOCK, type TarHeader } from './tar-header.js';

export type TarMember = {
  /** Relative, without `./`; empty for the directory itself. */
  path: string;
  type: 'file' | 'dir' | 'symlink' | 'hardlink';
  size: number;
  /** Permission bits. */
  mode: number;
  /** Target of a link. */
  link: string;
};

/** All calls come from inside `feed`, in the order of the stream. */
export type TarSink = {
  /** A member begins; `startsAt` is the offset of its first header in the stream. */
  member(member: TarMember, startsAt: number): void;
  /** A piece of the file that began last, and its place in it. Not called for an empty file. The piece must not be kept. */
  content(piece: Buffer, at: number): void;
};

export type TarReader = {
  /** Throws a plain Error that says what is wrong with the stream. */
  feed(piece: Buffer): void;
  /** Throws when the stream has not come to its end. */
  end(): void;
  /** Offset up to which every member was handed over whole. A reader may begin there. */
  boundary(): number;
};

/** Pax records and long names; a member larger than that is none of tarfile's. */
const LARGEST_META_BYTES = 1024 * 1024;

type State = {
  sink: TarSink;
  /** Bytes consumed. */
  offset: number;
  /** First header of the member under way, the pax header in front of it included. */
  memberAt: number;
  header: Buffer;
  filled: number;
  /** Bytes of content left, and of the padding behind it. */
  left: number;
  padding: number;
  size: number;
  use: 'file' | 'meta' | 'skip';
  meta: Buffer[];
  metaType: string;
  pax: Map<string, string>;
  ended: boolean;
};

/** A reader of a stream whose first byte is at `offset` of the whole tar. */
export function createTarReader(sink: TarSink, offset = 0): TarReader {
  const state: State = {
    sink,
    offset,
    memberAt: offset,
    header: Buffer.alloc(TAR_BLOCK),
    filled: 0,
    left: 0,
    padding: 0,
    size: 0,
    use: 'skip',
    meta: [],
    metaType: '',
    pax: new Map(),
    ended: false,
  };
  return {
    feed(piece) {
      let at = 0;
      while (at < piece.length && !state.ended) {
        const taken = step(state, piece.subarray(at));
        at += taken;
        state.offset += taken;
        if (isBetween(state)) state.memberAt = state.offset;
      }
    },
    end() {
      if (!state.ended) throw new Error('the tar is cut: its end is missing');
    },
    boundary: () => state.memberAt,
  };
}

function isBetween(state: State): boolean {
  return state.filled === 0 && state.left === 0 && state.padding === 0 && state.pax.size === 0;
}

/** Consumes the front of `piece`; returns how many bytes. */
function step(state: State, piece: Buffer): number {
  if (state.left > 0) return takeContent(state, piece);
  if (state.padding > 0) {
    const skipped = Math.min(state.padding, piece.length);
    state.padding -= skipped;
    return skipped;
  }
  const taken = Math.min(TAR_BLOCK - state.filled, piece.length);
  piece.copy(state.header, state.filled, 0, taken);
  state.filled += taken;
  if (state.filled === TAR_BLOCK) {
    state.filled = 0;
    takeHeader(state);
  }
  return taken;
}

function takeContent(state: State, piece: Buffer): number {
  const part = piece.subarray(0, Math.min(state.left, piece.length));
  if (state.use === 'file') state.sink.content(part, state.size - state.left);
  else if (state.use === 'meta') state.meta.push(Buffer.from(part));
  state.left -= part.length;
  if (state.left === 0 && state.use === 'meta') takeMeta(state);
  return part.length;
}

function takeHeader(state: State): void {
  const header = readTarHeader(state.header);
  if (header === null) {
    state.ended = true;
    return;
  }
  switch (header.type) {
    case 'x':
    case 'L':
    case 'K':
      if (header.size > LARGEST_META_BYTES) throw new Error('the tar has a member with an impossible name');
      expect(state, header.size, 'meta');
      state.metaType = header.type;
      return;
    case 'g':
      expect(state, header.size, 'skip');
      return;
    default:
      takeMember(state, header);
  }
}

function expect(state: State, size: number, use: State['use']): void {
  state.use = use;
  state.size = size;
  state.left = size;
  state.padding = (TAR_BLOCK - (size % TAR_BLOCK)) % TAR_BLOCK;
}

/** What a pax header or a long name says about the member that follows. */
function takeMeta(state: State): void {
  const content = Buffer.concat(state.meta);
  state.meta = [];
  if (state.metaType === 'x') {
    for (const [name, value] of parsePax(content)) state.pax.set(name, value);
    // A header that says nothing of use is still part of the member that follows.
    state.pax.set('', '');
    return;
  }
  state.pax.set(state.metaType === 'L' ? 'path' : 'linkpath', content.toString('utf8').replace(/\0+$/, ''));
}

function takeMember(state: State, header: TarHeader): void {
  const { pax } = state;
  const type = typeOf(header.type);
  const name = pax.get('path') ?? header.name;
  if (type === null) throw new Error(`the tar has "${name}", which is neither file, directory nor link`);
  const size = type === 'file' ? Number(pax.get('size') ?? header.size) : 0;
  if (!Number.isSafeInteger(size)) throw new Error(`the tar has "${name}" with an impossible size`);
  const link = pax.get('linkpath') ?? header.link;
  const startsAt = state.memberAt;
  state.pax = new Map();
  expect(state, size, 'file');
  const member = { path: safePath(name), type, size, mode: header.mode };
  state.sink.member({ ...member, link: type === 'hardlink' ? safePath(link) : link }, startsAt);
}

function typeOf(flag: string): TarMember['type'] | null {
  switch (flag) {
    case '0':
    case '\0':
    case '7':
      return 'file';
    case '1':
      return 'hardlink';
    case '2':
      return 'symlink';
    case '5':
      return 'dir';
    default:
      return null;
  }
}

function safePath(name: string): string {
  const parts = name.split('/').filter((part) => part !== '' && part !== '.');
  if (name.startsWith('/') || parts.includes('..') || name.includes('\0')) {
    throw new Error(`the tar has "${name}", which leads out of the data directory`);
  }
  return parts.join('/');
}
