/** The few facts that a base needs from its backup manifest (PostgreSQL docs, "Backup Manifest Format"). */
import { createHash } from 'node:crypto';

import { parseLsn, type Lsn } from '../../shared/lsn.js';
import { stepFailure } from '../lib/failure.js';

export type ManifestFacts = { systemIdentifier: string | null; timeline: number; startLsn: Lsn; stopLsn: Lsn };

const CHECKSUM = /"Manifest-Checksum": "([0-9a-f]{64})"\}\s*$/;
const RANGES = /"WAL-Ranges": \[([^\]]*)\]/;
const RANGE = /"Timeline": (\d+), "Start-LSN": "([0-9A-F/]+)", "End-LSN": "([0-9A-F/]+)"/g;

/**
 * Reads a manifest. Not by a JSON parser: the system identifier is larger than its numbers, and the list of files may be huge. Throws
 * BackupCorrupt when the manifest does not carry its own checksum or names no WAL.
 */
export function readManifest(manifest: Buffer, source: string): ManifestFacts {
  const tail = manifest.subarray(Math.max(0, manifest.length - 64 * 1024)).toString('latin1');
  proveChecksum(manifest, tail, source);
  const ranges = [...(RANGES.exec(tail)?.[1] ?? '').matchAll(RANGE)];
  const startLsn = parseLsn(ranges[0]?.[2] ?? '');
  const [, timeline, , stop] = ranges.at(-1) ?? [];
  const stopLsn = parseLsn(stop ?? '');
  if (startLsn === null || stopLsn === null) {
    throw stepFailure('BackupCorrupt', `manifest of ${source} names no wal`);
  }
  const head = manifest.subarray(0, 4096).toString('latin1');
  const systemIdentifier = /"System-Identifier": (\d+)/.exec(head)?.[1] ?? null;
  return { systemIdentifier, timeline: Number(timeline), startLsn, stopLsn };
}

function proveChecksum(manifest: Buffer, tail: string, source: string): void {
  // The checksum covers everything up to the line that holds it.
  const covered = Math.max(manifest.lastIndexOf('"Manifest-Checksum"'), 0);
  const actual = createHash('sha256').update(manifest.subarray(0, covered)).digest('hex');
  if (CHECKSUM.exec(tail)?.[1] === actual) return;
  throw stepFailure('BackupCorrupt', `manifest of ${source} does not match its own checksum`);
}
