/**
 * A copy of a node's configuration beside its data while a rewind is at work on them, complete or not there. It also says how far the rewind came: the data
 * do not, because pg_rewind brings the source's control file and configuration long before they are the node's own again.
 */
import { mkdir, rm } from 'node:fs/promises';
import path from 'node:path';

import { giveTo, pathExists, renameDurably, syncDirectory, type Owner } from '../data-directory.js';
import { copySettings } from '../promotion/production-settings.js';

/** `none`: no rewind was begun; `begun`: the data are no cluster of this node until it is `done`. */
export type RewindStage = 'none' | 'begun' | 'done';

const begunDir = (dataDir: string, run: string): string => `${dataDir}.settings-${run}`;
const doneDir = (dataDir: string, run: string): string => `${begunDir(dataDir, run)}.done`;

export async function rewindStage(dataDir: string, run: string): Promise<RewindStage> {
  if (await pathExists(doneDir(dataDir, run))) return 'done';
  return (await pathExists(begunDir(dataDir, run))) ? 'begun' : 'none';
}

/** Where the node's own configuration is now. */
export async function ownSettingsDir(dataDir: string, run: string): Promise<string> {
  const stage = await rewindStage(dataDir, run);
  return { none: dataDir, begun: begunDir(dataDir, run), done: doneDir(dataDir, run) }[stage];
}

/** Makes it when it is not there: `<dataDir>.settings-<run>`. */
export async function settingsDirFor(dataDir: string, run: string, owner: Owner): Promise<string> {
  const dir = begunDir(dataDir, run);
  if (await pathExists(dir)) return dir;
  const making = `${dir}.tmp`;
  await rm(making, { recursive: true, force: true });
  await mkdir(making, { mode: 0o700 });
  await giveTo(making, owner);
  await copySettings(dataDir, making, owner);
  await renameDurably(making, dir);
  return dir;
}

/** The data are a cluster of this node again. Needs: the configuration was copied back. */
export async function markRewound(dataDir: string, run: string): Promise<void> {
  await renameDurably(begunDir(dataDir, run), doneDir(dataDir, run));
}

/** To be called once the node follows: from then on its data speak for themselves. */
export async function forgetRewind(dataDir: string, run: string): Promise<void> {
  if (!(await pathExists(doneDir(dataDir, run)))) return;
  await rm(doneDir(dataDir, run), { recursive: true, force: true });
  await syncDirectory(path.dirname(dataDir));
}
