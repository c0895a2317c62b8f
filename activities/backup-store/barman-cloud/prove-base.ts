/** What must be true of a base's directory before a server may be started from it. barman-cloud keeps no manifest, so this is the proof there is. */
import { chownSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { stepFailure } from '../../lib/failure.js';
import type { BarmanBase } from './catalog.js';
import type { Place } from './extract.js';

/**
 * Version, identity and `backup_label`. Without the label a server would start from the checkpoint in pg_control and come up damaged without a word; it is
 * in the tar and in backup.info, and one of them is enough.
 */
export function proveBase(place: Place, { header, info }: BarmanBase): void {
  const refuse = (problem: string): Error =>
    stepFailure('BackupCorrupt', `base ${header.id} is not whole: ${problem}`, {
      hint: 'nothing was promoted; recover from another base, then `pgr retry`',
    });
  const version = readText(join(place.dir, 'PG_VERSION'));
  if (version === null) throw refuse('PG_VERSION is missing');
  if (Number.parseInt(version, 10) !== header.postgresMajor) {
    throw refuse(`PG_VERSION is ${version.trim()}, backup.info says ${String(header.postgresMajor)}`);
  }
  const control = readBytes(join(place.dir, 'global', 'pg_control'));
  if (control === null || control.length < 8) throw refuse('global/pg_control is missing');
  // The first field of pg_control (src/include/catalog/pg_control.h), in the byte order of the machine that wrote it.
  const written = [control.readBigUInt64LE(0), control.readBigUInt64BE(0)].map(String);
  if (!written.includes(header.systemIdentifier)) {
    throw refuse(`pg_control is of system ${written[0] ?? ''}, backup.info says ${header.systemIdentifier}`);
  }
  if (existsSync(join(place.dir, 'backup_label'))) return;
  if (info.backupLabel === null) throw refuse('there is no backup_label, neither in the tar nor in backup.info');
  const label = join(place.dir, 'backup_label');
  writeFileSync(label, info.backupLabel, { mode: 0o600 });
  if (place.owner !== null) chownSync(label, place.owner.uid, place.owner.gid);
}

function readText(path: string): string | null {
  return readBytes(path)?.toString('utf8') ?? null;
}

function readBytes(path: string): Buffer | null {
  return existsSync(path) ? readFileSync(path) : null;
}
