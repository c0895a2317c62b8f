/** The configuration of the node as it was, for the new data; and whom a rewound standby follows. */
import { chmod, mkdir, rename, rm } from 'node:fs/promises';
import path from 'node:path';

import type { ActivityDeps } from '../../lib/deps.js';
import { replicationAddress } from '../connection.js';
import { directoryState, pathExists, readTextIfThere, replaceFile, type Owner } from '../data-directory.js';
import { copySettings } from '../promotion/production-settings.js';
import { withSettings } from '../settings-files.js';
import type { RebuildPlace } from './rebuild-place.js';

/**
 * Directory with the node's own configuration: the kept data, or (in place) a copy made before anything is moved. Null when the node had no data.
 * Complete or not there: it is made under another name and renamed.
 */
export async function saveSettings(place: RebuildPlace): Promise<string | null> {
  if ((await directoryState(place.keptDataDir)) === 'cluster') return place.keptDataDir;
  if (await pathExists(place.settingsDir)) return place.settingsDir;
  if ((await directoryState(place.dataDir)) !== 'cluster') return null;
  const making = `${place.settingsDir}.tmp`;
  await rm(making, { recursive: true, force: true });
  await mkdir(making, { recursive: true, mode: 0o700 });
  await chmod(making, 0o700);
  await copySettings(place.dataDir, making, { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 });
  await rename(making, place.settingsDir);
  return place.settingsDir;
}

/** What `pg_basebackup -R` writes, for data that were rewound: the password goes into a file of mode 0600 and nowhere else. */
export async function writeFollowing(
  deps: ActivityDeps,
  place: RebuildPlace,
  slot: string,
  owner: Owner,
): Promise<void> {
  const { host, port, user, password } = await replicationAddress(deps, place.environment, place.plan.from.name);
  const parts: [string, string | null][] = [
    ['user', user],
    ['password', password],
    ['host', host],
    ['port', String(port)],
    ['application_name', place.node.name],
  ];
  const conninfo = parts
    .flatMap(([name, value]) => (value === null ? [] : [`${name}='${value.replace(/[\\']/g, '\\$&')}'`]))
    .join(' ');
  const file = path.join(place.workDir, 'postgresql.auto.conf');
  const text = (await readTextIfThere(file)) ?? '';
  await replaceFile(file, withSettings(text, { primary_conninfo: conninfo, primary_slot_name: slot }), owner);
  await replaceFile(path.join(place.workDir, 'standby.signal'), '', owner);
}
