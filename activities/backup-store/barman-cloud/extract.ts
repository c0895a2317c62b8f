/** Members of a tar on their way into the base's directory. Synchronous: a piece is on disk (in the page cache) when the call returns. */
import { chmodSync, closeSync, copyFileSync, ftruncateSync, lchownSync, mkdirSync, rmSync, symlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';

import { openFile, writeFully, type Owner } from '../chunk-files.js';
import type { BarmanFetchState } from './fetch-state.js';
import type { TarMember, TarSink } from './tar-reader.js';

export type Place = { dir: string; owner: Owner };

export type Extractor = TarSink & {
  /** Closes what is open after a failure. */
  close(): void;
};

/** Directories whose content barman-cloud leaves out; one that was a link is not in the tar at all, and the server wants them. */
const NEEDED_DIRS = ['pg_wal', 'pg_wal/archive_status', 'pg_tblspc', 'pg_replslot', 'pg_notify', 'pg_stat_tmp'];

/**
 * Writes what comes. Members that begin before `skipBefore` are on disk from an earlier attempt. Files and links are counted and noted in
 * `state`, which the caller saves.
 */
export function createExtractor(place: Place, state: BarmanFetchState, skipBefore: number): Extractor {
  let open: { fd: number; size: number } | null = null;
  const close = (): void => {
    if (open !== null) closeSync(open.fd);
    open = null;
  };
  const startFile = ({ path, mode, size }: TarMember): void => {
    const fd = openFile(join(place.dir, path), mode, place.owner);
    open = { fd, size };
    // What an earlier attempt, or an earlier copy of the file, left beyond the end.
    ftruncateSync(fd, size);
  };
  const ended = (): void => {
    close();
    state.files += 1;
  };
  return {
    close,
    member(member, startsAt) {
      if (startsAt < skipBefore) return;
      const { path, type, link } = member;
      if (type === 'dir') makeDir(place, path, member.mode);
      else if (type === 'file') {
        if (path === '') throw new Error('the tar has a file without a name');
        makeParents(place, path);
        startFile(member);
        if (member.size === 0) ended();
      } else {
        state.links = [...state.links.filter((one) => one.path !== path), { path, type, link }];
      }
    },
    content(piece, at) {
      if (open === null) return;
      writeFully(open.fd, piece, at);
      if (at + piece.length === open.size) ended();
    },
  };
}

/** Makes the directory of a base and those that a server does not start without. Right when run again. */
export function makeBaseDir(place: Place): void {
  makeDir(place, '', 0o700);
}

/** The links, and the directories that are missing: last, because until then no path of the base leads out of it. */
export function finishTree(place: Place, state: BarmanFetchState): void {
  for (const { path, type, link } of state.links) {
    const at = join(place.dir, path);
    rmSync(at, { force: true });
    if (type === 'symlink') symlinkSync(link, at);
    else copyFileSync(join(place.dir, link), at);
    if (place.owner !== null) lchownSync(at, place.owner.uid, place.owner.gid);
  }
  const linked = new Set(state.links.map(({ path }) => path));
  for (const path of NEEDED_DIRS) if (!linked.has(path.split('/')[0] ?? '')) makeDir(place, path, 0o700);
}

function makeParents(place: Place, path: string): void {
  const parent = dirname(path);
  if (parent === '.') return;
  makeParents(place, parent);
  const made = mkdirSync(join(place.dir, parent), { recursive: true, mode: 0o700 });
  if (made !== undefined && place.owner !== null) lchownSync(made, place.owner.uid, place.owner.gid);
}

function makeDir({ dir, owner }: Place, path: string, mode: number): void {
  const at = join(dir, path);
  mkdirSync(at, { recursive: true, mode });
  // A server refuses a data directory that others can enter.
  chmodSync(at, path === '' ? 0o700 : mode);
  if (owner !== null) lchownSync(at, owner.uid, owner.gid);
}
