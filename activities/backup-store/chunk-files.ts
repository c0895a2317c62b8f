/** Writes pieces of files wherever they belong, with a bounded number of open files. Synchronous: it runs on threads of its own. */
import { closeSync, constants, fchmodSync, fchownSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';

import type { FilePiece } from './base-index.js';

export type Owner = { uid: number; gid: number } | null;

export type FileWriter = {
  /** Writes `raw` to the file of `piece` at its place; the file is made when it is not there yet. */
  write(dir: string, owner: Owner, piece: FilePiece, raw: Buffer): void;
  closeAll(): void;
};

/** Enough for the relations being written at a time; far below the usual limit of 1024 open files. */
const OPEN_FILES = 64;

/** A writer for one thread. Several threads may write different parts of one file. */
export function createFileWriter(): FileWriter {
  const open = new Map<string, number>();
  return {
    write(dir, owner, piece, raw) {
      const path = join(dir, piece.path);
      const fd = open.get(path) ?? openFile(path, piece.mode, owner);
      // Taken out and put in again: the first key of the map is then the file that was not used for the longest time.
      open.delete(path);
      open.set(path, fd);
      writeFully(fd, raw, piece.fileOffset);
      if (open.size > OPEN_FILES) closeOldest(open);
    },
    closeAll() {
      for (const fd of open.values()) closeSync(fd);
      open.clear();
    },
  };
}

/** Opens for writing without ever following a link: the name comes from the store. */
export function openFile(path: string, mode: number, owner: Owner): number {
  const fd = openSync(path, constants.O_WRONLY | constants.O_CREAT | constants.O_NOFOLLOW, mode);
  // The mode given to open() is cut by the umask.
  fchmodSync(fd, mode);
  if (owner !== null) fchownSync(fd, owner.uid, owner.gid);
  return fd;
}

/** write(2) may write less than it was given. */
export function writeFully(fd: number, data: Buffer, position: number): void {
  let done = 0;
  while (done < data.length) done += writeSync(fd, data, done, data.length - done, position + done);
}

function closeOldest(open: Map<string, number>): void {
  for (const [path, fd] of open) {
    closeSync(fd);
    open.delete(path);
    return;
  }
}

/** What a decoder found wrong with its input, in words. An error of the operating system (disk full, no permission) is thrown on. */
export function problemOfData(error: unknown): string {
  if (!(error instanceof Error) || 'syscall' in error) throw error;
  return `cannot be decompressed: ${error.message}`;
}
