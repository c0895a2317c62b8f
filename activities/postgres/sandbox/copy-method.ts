/** How pg_combinebackup may bring unchanged files over: tried on a probe file, because the file system decides. */
import { constants } from 'node:fs';
import { copyFile, link, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';

import type { CopyMethod } from './commands.js';

/**
 * Fastest method that works in `dir`: clones share blocks (btrfs, XFS, APFS); links share whole files (PostgreSQL 18 and later; safe, as
 * the bases are thrown away afterwards); copy_file_range stays in the kernel (Linux); plain copies always work.
 */
export async function chooseCopyMethod(dir: string, postgresMajor: number): Promise<CopyMethod> {
  const probe = path.join(dir, '.probe');
  const copy = path.join(dir, '.probe-copy');
  try {
    await writeFile(probe, 'probe');
    if (await works(() => copyFile(probe, copy, constants.COPYFILE_FICLONE_FORCE))) return 'clone';
    await rm(copy, { force: true });
    if (postgresMajor >= 18 && (await works(() => link(probe, copy)))) return 'link';
    return process.platform === 'linux' ? 'copy-file-range' : 'copy';
  } finally {
    await rm(probe, { force: true });
    await rm(copy, { force: true });
  }
}

async function works(attempt: () => Promise<void>): Promise<boolean> {
  try {
    await attempt();
    return true;
  } catch {
    return false;
  }
}
