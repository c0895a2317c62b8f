/**
 * Moves data in and out of the data directory. In place they move entry by entry, by rename: `global` leaves first and comes back last, and without it no
 * server starts, whoever tries. Every function may be repeated; what is where says how far an earlier call came.
 */
import { chmod, mkdir, readdir, rename, rmdir, stat } from 'node:fs/promises';
import path from 'node:path';

import { stepFailure } from '../../lib/failure.js';
import {
  directoryState,
  giveTo,
  namesIn,
  pathExists,
  renameDurably,
  syncDirectory,
  type Owner,
} from '../data-directory.js';
import { requireStopped } from '../promotion/node-place.js';
import type { RebuildPlace } from './rebuild-place.js';

/** Holds pg_control: without it PostgreSQL does not start. */
const KEY_ENTRY = 'global';

/** Makes a directory of this rebuild for the user of the server. */
export async function makeDirectory(dir: string, owner: Owner): Promise<void> {
  await mkdir(dir, { recursive: true, mode: 0o700 });
  await chmod(dir, 0o700);
  await giveTo(dir, owner);
}

/** Moves what is in the data directory into `to`, a directory inside of it. */
export async function moveDown(place: RebuildPlace, to: string, owner: Owner): Promise<void> {
  await requireStopped(place.dataDir);
  await makeDirectory(to, owner);
  const names = (await readdir(place.dataDir)).filter((name) => !isOurs(place, name));
  for (const name of [...names].sort((a, b) => Number(b === KEY_ENTRY) - Number(a === KEY_ENTRY))) {
    await rename(path.join(place.dataDir, name), path.join(to, name));
    if (name === KEY_ENTRY) await syncDirectory(place.dataDir);
  }
  await syncDirectory(to);
  await syncDirectory(place.dataDir);
}

/** Moves what is in the work directory up into the data directory, where nothing else is. */
export async function moveUp(place: RebuildPlace): Promise<void> {
  await requireStopped(place.dataDir);
  const names = (await namesIn(place.workDir)) ?? [];
  // PostgreSQL refuses a directory that others can enter, as a new mount point is; the copy has the mode that it wants.
  if (names.length > 0) await chmod(place.dataDir, (await stat(place.workDir)).mode & 0o777);
  for (const name of [...names].sort((a, b) => Number(a === KEY_ENTRY) - Number(b === KEY_ENTRY))) {
    const to = path.join(place.dataDir, name);
    if (await pathExists(to)) throw stepFailure('PreconditionFailed', `${to} stands in the way of the new data`);
    if (name === KEY_ENTRY) await syncDirectory(place.dataDir);
    await rename(path.join(place.workDir, name), to);
  }
  await syncDirectory(place.dataDir);
  if (await pathExists(place.workDir)) await rmdir(place.workDir);
}

/** Beside the data directory: one rename. */
export async function renameIn(place: RebuildPlace): Promise<void> {
  const state = await directoryState(place.dataDir);
  if ((await directoryState(place.workDir)) === 'missing' && state === 'cluster') return;
  if (state === 'empty') await rmdir(place.dataDir);
  await requireStopped(place.workDir);
  await renameDurably(place.workDir, place.dataDir);
}

function isOurs(place: RebuildPlace, name: string): boolean {
  return [path.basename(place.workDir), path.basename(place.oldDir)].includes(name);
}
