/** The WAL of a fetch on its way into the spool. A file gets its plain name when it is whole and checked. */
import { closeSync, ftruncateSync, lchownSync, mkdirSync, renameSync, statSync } from 'node:fs';
import { join } from 'node:path';

import { isSegmentName } from '../../../shared/timeline.js';
import type { FetchSpec } from '../../lib/backup-store.js';
import { stepFailure } from '../../lib/failure.js';
import { openFile, writeFully } from '../chunk-files.js';
import { neededHistory, planWal } from '../mover-wal-plan.js';
import { readHistory } from '../timeline-archive.js';
import { listWalFiles, unpackWalFile, walCorrupt, type WalFile } from '../wal-archive.js';
import { problemOfSegment } from '../wal-page.js';
import { WAL_PREFIX, type ArchiveView } from './archive-objects.js';

export type WalItem = { name: string; file: WalFile; isHere: boolean };

export type WalOrigin = { systemIdentifier: string | null; postgresMajor: number | null };

/** What the spool needs, in the order in which replay does. Throws TargetInHole when a segment is not in the store: before anything large is fetched. */
export async function planSpool(
  { objects }: Pick<ArchiveView, 'objects'>,
  { wal, owner }: FetchSpec,
): Promise<WalItem[]> {
  const files = await listWalFiles(objects, WAL_PREFIX);
  const history = neededHistory(wal.timeline);
  if (history !== null && !files.some(({ name }) => name === history)) {
    throw stepFailure('TargetInHole', `the store does not have ${history}`);
  }
  const { switches } = await readHistory(objects, files, wal.timeline);
  const plan = planWal(wal, files, switches);
  const [first = ''] = plan.missing;
  if (plan.missing.length > 0) {
    const more = plan.missing.length === 1 ? '' : ` and ${String(plan.missing.length - 1)} more`;
    throw stepFailure('TargetInHole', `the store does not have wal segment ${first}${more}`);
  }
  mkdirSync(wal.dir, { recursive: true, mode: 0o700 });
  if (owner !== null) lchownSync(wal.dir, owner.uid, owner.gid);
  const wanted = [...plan.histories.map((file) => ({ name: file.name, file })), ...plan.segments];
  return wanted.map(({ name, file }) => {
    const facts = statSync(join(wal.dir, name), { throwIfNoEntry: false });
    const isWhole = !isSegmentName(name) || facts?.size === wal.walSegmentBytes;
    return { name, file, isHere: facts?.isFile() === true && isWhole };
  });
}

/** Fetches one file. Throws WalCorrupt when it is not what its name and the base say. */
export async function fetchWal(
  { objects }: Pick<ArchiveView, 'objects'>,
  { wal, owner }: FetchSpec,
  { name, file }: WalItem,
  origin: WalOrigin,
): Promise<void> {
  const raw = await unpackWalFile(await objects.get(file.key), file, wal.walSegmentBytes);
  const expected = { name, segmentBytes: wal.walSegmentBytes, ...origin };
  const problem = isSegmentName(name) ? problemOfSegment(raw, expected) : null;
  if (problem !== null) throw walCorrupt(file, problem);
  const temporary = join(wal.dir, `${name}.tmp`);
  const fd = openFile(temporary, 0o600, owner);
  try {
    writeFully(fd, raw, 0);
    ftruncateSync(fd, raw.length);
  } finally {
    closeSync(fd);
  }
  renameSync(temporary, join(wal.dir, name));
}
