/** A copy of a node's configuration beside its data, complete or not there. */
import { mkdir, rename, rm } from 'node:fs/promises';

import { giveTo, pathExists, type Owner } from '../data-directory.js';
import { copySettings } from '../promotion/production-settings.js';

/** Makes it when it is not there: `<dataDir>.settings-<run>`. */
export async function settingsDirFor(dataDir: string, run: string, owner: Owner): Promise<string> {
  const dir = `${dataDir}.settings-${run}`;
  if (await pathExists(dir)) return dir;
  const making = `${dir}.tmp`;
  await rm(making, { recursive: true, force: true });
  await mkdir(making, { mode: 0o700 });
  await giveTo(making, owner);
  await copySettings(dataDir, making, owner);
  await rename(making, dir);
  return dir;
}
