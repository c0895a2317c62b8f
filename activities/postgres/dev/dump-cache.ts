/** Where fetched dumps lie on the machine of the developer. Pure. */
import path from 'node:path';

import type { DumpObject } from '../../../shared/contracts/dev.js';
import { sha256Hex } from '../../../shared/sha256.js';

/** Fetched dumps that are kept: the newest is what `--deferred` reads, the one before is a way back. */
export const KEPT_DUMPS = 2;

export function cacheOf(stateDir: string, environment: string, source: string): string {
  return path.join(stateDir, 'restore-dev', 'dumps', `${environment}.${source}`);
}

/** Another content has another directory, whatever its name. */
export function cachedPath(cache: string, { id, bytes, createdAt, name }: DumpObject): string {
  const key = sha256Hex(JSON.stringify([id, bytes, createdAt])).slice(0, 12);
  return path.join(cache, key, path.basename(name) === '' ? 'dump' : path.basename(name));
}
