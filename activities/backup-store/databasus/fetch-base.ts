/**
 * One base on its way into its directory. A base is one compressed stream, so a process that died inside it begins that base anew; bases that are
 * whole are not asked for again.
 */
import { fchownSync, closeSync, openSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';

import { fetchStateFileOf } from '../../lib/backup-store.js';
import { stepFailure } from '../../lib/failure.js';
import { writeFully, type Owner } from '../chunk-files.js';
import type { CatalogBase } from './catalog.js';
import { inflated } from './inflate.js';
import { parseManifest } from './manifest.js';
import { requireEmpty } from '../base-state.js';
import { sealedManifest, sealedTar, type Bucket } from './open.js';
import { collect } from './stored-file.js';
import { unpackBase, verifyUnpacked } from './unpack-base.js';

export type BasePlace = { dir: string; owner: Owner };

type State = { api: 1; store: 'databasus-bucket'; base: string; files: number; complete: boolean };

/** Number of files if the base is here already; null when it has to be fetched. Throws SandboxNotOurs for a directory with other content. */
export async function fetchedFiles(base: CatalogBase, { dir }: BasePlace): Promise<number | null> {
  const state = readState(dir);
  const id = base.metadata.backupId;
  if (state === null) {
    await requireEmpty(dir);
    return null;
  }
  if (state.base !== id) throw stepFailure('SandboxNotOurs', `${dir} holds another base than ${id}`);
  return state.complete ? state.files : null;
}

/** Fetches a base: manifest first, then the tar, every file compared with it. Returns the number of files. */
export async function fetchBase(bucket: Bucket, base: CatalogBase, place: BasePlace): Promise<number> {
  const state: State = { api: 1, store: 'databasus-bucket', base: base.metadata.backupId, files: 0, complete: false };
  writeState(place, state);
  rmSync(place.dir, { recursive: true, force: true });
  const sealed = sealedManifest(bucket, base);
  const manifest = await collect(inflated(sealed.stream(), sealed.object));
  const files = parseManifest(manifest, base.manifest.name);
  const tar = sealedTar(bucket, base);
  const algorithms = new Map(files.map(({ path, checksum }) => [path, checksum?.algorithm ?? null]));
  const algorithmOf = (path: string): string | null => algorithms.get(path) ?? null;
  const unpacked = await unpackBase(inflated(tar.stream(), tar.object), { name: base.tar.name, ...place, algorithmOf });
  const count = verifyUnpacked(unpacked, files, base.tar.name);
  writeOwned(join(place.dir, 'backup_manifest'), manifest, place.owner);
  writeState(place, { ...state, files: count, complete: true });
  return count;
}

function readState(dir: string): State | null {
  let text: string;
  try {
    text = readFileSync(fetchStateFileOf(dir), 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null;
    throw error;
  }
  try {
    return JSON.parse(text) as State;
  } catch (cause) {
    throw stepFailure('SandboxNotOurs', `${fetchStateFileOf(dir)} was not written by this store`, { cause });
  }
}

function writeState({ dir, owner }: BasePlace, state: State): void {
  const file = fetchStateFileOf(dir);
  writeOwned(`${file}.tmp`, Buffer.from(`${JSON.stringify(state)}\n`), owner);
  renameSync(`${file}.tmp`, file);
}

function writeOwned(path: string, content: Buffer, owner: Owner): void {
  const fd = openSync(path, 'w', 0o600);
  writeFully(fd, content, 0);
  if (owner !== null) fchownSync(fd, owner.uid, owner.gid);
  closeSync(fd);
}
