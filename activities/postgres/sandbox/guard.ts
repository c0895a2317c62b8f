/** Checks before anything is written: the place is not production's, and it is large enough. */
import { lstat, readdir, readlink, realpath, statfs } from 'node:fs/promises';
import path from 'node:path';

import type { Config } from '../../../config/schema.js';
import { stepFailure } from '../../lib/failure.js';
import { codeOf, pathExists } from '../data-directory.js';

/**
 * Throws SandboxNotOurs when `dir` is, contains or lies in a data directory of the config (links resolved, as far as the path exists).
 */
export async function refuseNearData(config: Config, dir: string): Promise<void> {
  const real = await realPathOf(dir);
  for (const [name, environment] of Object.entries(config.environments)) {
    for (const node of environment.nodes) {
      const dataDir = await realPathOf(node.dataDir);
      if (!isInside(real, dataDir) && !isInside(dataDir, real)) continue;
      throw stepFailure(
        'SandboxNotOurs',
        `${dir} overlaps the data directory ${node.dataDir} of ${name}/${node.name}`,
        {
          hint: 'nothing was touched; set sandbox.dir to a directory beside the data directory, not in it or above it',
        },
      );
    }
  }
}

/** True when `inner` is `outer` or lies below it. */
export function isInside(inner: string, outer: string): boolean {
  const relative = path.relative(outer, inner);
  return relative !== '..' && !relative.startsWith('../') && !path.isAbsolute(relative);
}

/** The path with the links of its existing part resolved. */
async function realPathOf(target: string): Promise<string> {
  const resolved = path.resolve(target);
  try {
    return await realpath(resolved);
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') {
      throw stepFailure('PreconditionFailed', `cannot read ${resolved}: ${codeOf(error)}`);
    }
    const parent = path.dirname(resolved);
    return parent === resolved ? resolved : path.join(await realPathOf(parent), path.basename(resolved));
  }
}

/** Throws SpaceMissing when the file system of `dir` (or of its nearest existing parent) has less than `needBytes` for us. */
export async function requireSpace(dir: string, needBytes: number): Promise<void> {
  let existing = path.resolve(dir);
  while (!(await pathExists(existing))) existing = path.dirname(existing);
  const facts = await statfs(existing);
  const availableBytes = facts.bavail * facts.bsize;
  if (availableBytes >= needBytes) return;
  throw stepFailure(
    'SpaceMissing',
    `${existing} has ${gigabytes(availableBytes)} free, the recovery needs ${gigabytes(needBytes)}`,
  );
}

function gigabytes(bytes: number): string {
  return `${(bytes / 1e9).toFixed(2)} GB`;
}

/**
 * Throws BackupCorrupt when the data directory leads out of the sandbox: a tablespace link would make recovery write into the place
 * that production uses.
 */
export async function requireSelfContained(dataDir: string): Promise<void> {
  const spaces = await readdir(path.join(dataDir, 'pg_tblspc')).catch(() => []);
  for (const relative of ['pg_wal', ...spaces.map((name) => path.join('pg_tblspc', name))]) {
    const target = path.join(dataDir, relative);
    const facts = await lstat(target).catch(() => null);
    if (facts?.isSymbolicLink() !== true) continue;
    throw stepFailure('BackupCorrupt', `the base has ${relative} as a link to ${await readlink(target)}`, {
      hint: 'nothing was started: recovery would write there; bases with tablespaces outside of the data directory cannot be restored',
    });
  }
}
