/** What must be true of a base's directory before a server may be started from it. Where there is no manifest, this is the proof there is. */
import { chownSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { stepFailure } from '../lib/failure.js';
import type { BaseHeader } from './base-catalog.js';
import type { Owner } from './chunk-files.js';

export type ProvedBase = {
  dir: string;
  owner: Owner;
  header: BaseHeader;
  /** Who says what the base is, for messages. */
  source: string;
  /** Content of `backup_label` where the base itself has none; null when nobody knows it. */
  backupLabel: string | null;
};

/**
 * Version, identity and `backup_label`. Without the label a server would start from the checkpoint in pg_control and come up damaged without a word; it is
 * in the base, or known from elsewhere; one of them is enough.
 */
export function proveBase({ dir, owner, header, source, backupLabel }: ProvedBase): void {
  const refuse = (problem: string): Error =>
    stepFailure('BackupCorrupt', `base ${header.id} is not whole: ${problem}`, {
      hint: 'nothing was promoted; recover from another base, then `pgr retry`',
    });
  const version = readText(join(dir, 'PG_VERSION'));
  if (version === null) throw refuse('PG_VERSION is missing');
  if (Number.parseInt(version, 10) !== header.postgresMajor) {
    throw refuse(`PG_VERSION is ${version.trim()}, ${source} says ${String(header.postgresMajor)}`);
  }
  const control = readBytes(join(dir, 'global', 'pg_control'));
  if (control === null || control.length < 8) throw refuse('global/pg_control is missing');
  // The first field of pg_control (src/include/catalog/pg_control.h), in the byte order of the machine that wrote it.
  const written = [control.readBigUInt64LE(0), control.readBigUInt64BE(0)].map(String);
  if (!written.includes(header.systemIdentifier)) {
    throw refuse(`pg_control is of system ${written[0] ?? ''}, ${source} says ${header.systemIdentifier}`);
  }
  if (existsSync(join(dir, 'backup_label'))) return;
  if (backupLabel === null) throw refuse('there is no backup_label');
  const label = join(dir, 'backup_label');
  writeFileSync(label, backupLabel, { mode: 0o600 });
  if (owner !== null) chownSync(label, owner.uid, owner.gid);
}

function readText(path: string): string | null {
  return readBytes(path)?.toString('utf8') ?? null;
}

function readBytes(path: string): Buffer | null {
  return existsSync(path) ? readFileSync(path) : null;
}
