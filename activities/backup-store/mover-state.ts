/**
 * Which chunks of a base are on disk: one byte per chunk in a file beside the base's directory, written after the chunk's data. It survives
 * the death of the process (not of the machine: after that a sandbox is made anew), so nothing that is finished is fetched again.
 */
import { closeSync, fchownSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs';

import { fetchStateFileOf } from '../lib/backup-store.js';
import { stepFailure } from '../lib/failure.js';
import type { BaseHeader } from './base-catalog.js';
import { requireEmpty } from './base-state.js';
import type { Owner } from './chunk-files.js';

export type FetchState = {
  file: string;
  /** Position of the byte of chunk 0. */
  markAt: number;
  isDone(chunk: number): boolean;
  /** True when everything of the base was finished by an earlier attempt. */
  isComplete: boolean;
  /** Marks the whole base as finished. */
  complete(): void;
};

/**
 * Opens the state of `baseDir`, or starts one. Throws SandboxNotOurs when the directory has files but no state, or holds another base:
 * such files were not written by this fetch.
 */
export async function openFetchState(baseDir: string, header: BaseHeader, owner: Owner): Promise<FetchState> {
  const file = fetchStateFileOf(baseDir);
  const { sizes, sha256s, id } = header;
  const firstLine = Buffer.from(
    `${JSON.stringify({ api: 1, base: id, index: sha256s.index, chunks: sizes.chunks })}\n`,
  );
  const bytes = readState(file) ?? (await startState(file, baseDir, firstLine, sizes.chunks, owner));
  if (!bytes.subarray(0, firstLine.length).equals(firstLine)) {
    throw stepFailure('SandboxNotOurs', `${baseDir} holds another base than ${id}`);
  }
  const markAt = firstLine.length;
  const completeAt = markAt + sizes.chunks;
  return {
    file,
    markAt,
    isDone: (chunk) => bytes[markAt + chunk] === 1,
    isComplete: bytes[completeAt] === 1,
    complete() {
      const fd = openSync(file, 'r+');
      writeSync(fd, Buffer.from([1]), 0, 1, completeAt);
      closeSync(fd);
    },
  };
}

function readState(file: string): Buffer | null {
  try {
    return readFileSync(file);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null;
    throw error;
  }
}

async function startState(
  file: string,
  baseDir: string,
  firstLine: Buffer,
  chunks: number,
  owner: Owner,
): Promise<Buffer> {
  await requireEmpty(baseDir);
  const bytes = Buffer.concat([firstLine, Buffer.alloc(chunks + 1)]);
  const temporary = `${file}.tmp`;
  const fd = openSync(temporary, 'w', 0o600);
  writeSync(fd, bytes);
  if (owner !== null) fchownSync(fd, owner.uid, owner.gid);
  closeSync(fd);
  renameSync(temporary, file);
  return bytes;
}
