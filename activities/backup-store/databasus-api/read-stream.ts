/**
 * One restore stream into its places: `full/…`, `incr-1/…` … into the directories of the bases, `wal/…` into the staging directory, as it comes.
 * Nothing counts before the last entry, MANIFEST.sha256, has named every file with the checksum it came with.
 */
import { closeSync, fchownSync, openSync } from 'node:fs';
import { join } from 'node:path';

import type { BaseRef, RecoveryPlan } from '../../../shared/contracts/plan.js';
import { stepFailure } from '../../lib/failure.js';
import { writeFully, type Owner } from '../chunk-files.js';
import { inflated } from '../databasus/inflate.js';
import { parseManifest, restoredBytes } from '../databasus/manifest.js';
import { collect } from '../databasus/stored-file.js';
import { unpackBase, verifyUnpacked, type UnpackedFiles } from '../databasus/unpack-base.js';
import { parseWalObjectName } from '../wal-archive.js';
import { requirePlannedBase } from './planned-base.js';
import { CutStream, readEntries, type StreamEntry } from './stream-tar.js';
import { compareSums } from './stream-sums.js';

export type StreamPlaces = {
  plan: RecoveryPlan;
  /** Where the bases go, full one first; null when only the WAL is wanted. */
  baseDirs: readonly string[] | null;
  walDir: string;
  owner: Owner;
};

export type ReadStream = {
  /** Files of all bases that were verified. */
  files: number;
  /** Bytes of each base once restored, full one first; empty when only the WAL was wanted. */
  rawBytes: number[];
};

type Reading = StreamPlaces & { unpacked: Map<number, UnpackedFiles>; seen: ReadStream; sums: string | null };

const BASE = /^(?:full|incr-(\d+))\/(base\.tar(?:\.\w+)?|backup_manifest)$/;
const SUMS = 'MANIFEST.sha256';

/** Reads a stream to its end. Throws CutStream for one that is not whole; BackupCorrupt, WalCorrupt, IdentityMismatch for what is in it. */
export async function readStream(source: AsyncIterable<Buffer>, places: StreamPlaces): Promise<ReadStream> {
  const reading: Reading = { ...places, unpacked: new Map(), seen: { files: 0, rawBytes: [] }, sums: null };
  const sums = await readEntries(source, (entry) => {
    if (reading.sums !== null) throw new CutStream(`goes on with ${entry.path} behind its ${SUMS}`);
    return place(reading, entry);
  });
  if (reading.sums === null) throw new CutStream(`ends without its ${SUMS}`);
  compareSums(reading.sums, sums, SUMS);
  const wanted = places.baseDirs === null ? 0 : places.plan.baseChain.length;
  if (reading.seen.rawBytes.length < wanted) {
    throw otherBases(places.plan, `${String(reading.seen.rawBytes.length)} bases instead of ${String(wanted)}`);
  }
  return reading.seen;
}

async function place(reading: Reading, entry: StreamEntry): Promise<void> {
  const { path, content } = entry;
  if (path === SUMS) {
    reading.sums = (await collect(content)).toString('utf8');
    return;
  }
  const wal = path.startsWith('wal/') ? path.slice('wal/'.length) : null;
  if (wal !== null && parseWalObjectName(wal) !== null) {
    await write(join(reading.walDir, wal), content, null);
    return;
  }
  const [, incremental, file] = BASE.exec(path) ?? [];
  if (file === undefined || reading.baseDirs === null) return;
  const number = Number(incremental ?? '0');
  const base = reading.plan.baseChain[number];
  const dir = reading.baseDirs[number];
  if (base === undefined || dir === undefined) throw otherBases(reading.plan, `more than the planned bases (${path})`);
  if (file === 'backup_manifest') await takeManifest(reading, entry, { number, base, dir });
  else await takeTar(reading, entry, { number, base, dir });
}

type BasePlace = { number: number; base: BaseRef; dir: string };

async function takeTar(reading: Reading, { path, content }: StreamEntry, { number, dir }: BasePlace): Promise<void> {
  const { plan, owner, walDir } = reading;
  const isLast = number === plan.baseChain.length - 1;
  const tar = inflated(content, { name: path, damaged: 'BackupCorrupt' });
  const unpacked = await unpackBase(tar, {
    name: path,
    dir,
    owner,
    // The controller writes its manifests with SHA-256; they come behind the tar.
    algorithmOf: () => 'sha256',
    // The first segments of the chain's last base are nowhere else: the controller deletes the one in which a backup began.
    ...(isLast ? { walDir } : {}),
  });
  reading.unpacked.set(number, unpacked);
}

async function takeManifest(reading: Reading, { path, content }: StreamEntry, place: BasePlace): Promise<void> {
  const { number, base, dir } = place;
  const unpacked = reading.unpacked.get(number);
  if (unpacked === undefined) throw new CutStream(`has ${path} before its tar`);
  const manifest = await collect(content);
  const files = parseManifest(manifest, path);
  requirePlannedBase(manifest.toString('utf8'), base, reading.plan);
  reading.seen.files += verifyUnpacked(unpacked, files, path);
  reading.seen.rawBytes.push(restoredBytes(files));
  await write(join(dir, 'backup_manifest'), [manifest], reading.owner);
}

async function write(path: string, content: AsyncIterable<Buffer> | Iterable<Buffer>, owner: Owner): Promise<void> {
  const fd = openSync(path, 'w', 0o600);
  try {
    let at = 0;
    for await (const piece of content) {
      writeFully(fd, piece, at);
      at += piece.length;
    }
    if (owner !== null) fchownSync(fd, owner.uid, owner.gid);
  } finally {
    closeSync(fd);
  }
}

function otherBases({ baseChain }: RecoveryPlan, sent: string): Error {
  const planned = baseChain.map(({ id }) => id).join(', ');
  return stepFailure('PreconditionFailed', `the controller sends ${sent}; planned were ${planned}`, {
    hint: 'backups were added or removed since the plan was made: `pgr abort`, then start again',
  });
}
