/** The directories, links and empty files of a base. */
import { closeSync, lchownSync, mkdirSync, symlinkSync, chmodSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';

import type { BaseIndex } from './base-index.js';
import { openFile, type Owner } from './chunk-files.js';

/** Makes `baseDir` and everything in it that has no bytes. Right when run again over its own result. */
export function makeTree(baseDir: string, index: BaseIndex, owner: Owner): void {
  makeDir(baseDir, 0o700, owner);
  for (const { type, path, mode } of index.files) if (type === 'dir') makeDir(join(baseDir, path), mode, owner);
  for (const { type, path, mode, size } of index.files) {
    if (type === 'file' && size === 0) closeSync(openFile(join(baseDir, path), mode, owner));
  }
}

/** Links are made last: until then no path of the base leads out of it. */
export function makeLinks(baseDir: string, index: BaseIndex, owner: Owner): void {
  for (const { type, path, link } of index.files) {
    if (type !== 'symlink' || link === undefined) continue;
    const at = join(baseDir, path);
    if (readLink(at) !== link) symlinkSync(link, at);
    if (owner !== null) lchownSync(at, owner.uid, owner.gid);
  }
}

function makeDir(path: string, mode: number, owner: Owner): void {
  mkdirSync(path, { recursive: true, mode });
  chmodSync(path, mode);
  if (owner !== null) lchownSync(path, owner.uid, owner.gid);
}

function readLink(path: string): string | null {
  try {
    return readlinkSync(path);
  } catch {
    return null;
  }
}
