/** The WAL of a fetch on its way into the spool. */
import { mkdirSync, lchownSync, statSync } from 'node:fs';
import { join } from 'node:path';

import { isSegmentName, parseHistory, type TimelineSwitch } from '../../shared/timeline.js';
import type { FetchSpec } from '../lib/backup-store.js';
import { stepFailure } from '../lib/failure.js';
import type { BaseHeader } from './base-catalog.js';
import { bytesOf } from './chunk-buffers.js';
import type { MoverTools, Transfer } from './mover-tools.js';
import { neededHistory, planWal } from './mover-wal-plan.js';
import { listWalFiles, readWalFile, walCorrupt, type WalFile } from './wal-archive.js';
import type { ExpectedSegment } from './wal-page.js';

export type PreparedWal = { transfers: Transfer[]; bytes: number };

/** A history file is a line per ancestor: more than this is none. */
const LARGEST_HISTORY_BYTES = 1024 * 1024;

/**
 * Lists the archive and says what is to be fetched, in the order in which replay needs it. Throws TargetInHole when a segment is not there:
 * before anything large is fetched.
 */
export async function prepareWal(tools: MoverTools, spec: FetchSpec, base: BaseHeader | null): Promise<PreparedWal> {
  const files = await listWalFiles(tools.objects, tools.walPrefix);
  const plan = planWal(spec.wal, files, await readSwitches(tools, files, spec.wal.timeline));
  if (plan.missing.length > 0) {
    const [first = ''] = plan.missing;
    const more = plan.missing.length === 1 ? '' : ` and ${String(plan.missing.length - 1)} more`;
    throw stepFailure('TargetInHole', `the archive does not have wal segment ${first}${more}`);
  }
  mkdirSync(spec.wal.dir, { recursive: true, mode: 0o700 });
  if (spec.owner !== null) lchownSync(spec.wal.dir, spec.owner.uid, spec.owner.gid);
  const wanted = [...plan.histories.map((file) => ({ name: file.name, file })), ...plan.segments];
  const transfers = wanted.flatMap(({ name, file }): Transfer[] => {
    const expected = isSegmentName(name) ? expectedSegment(name, spec, base) : null;
    const isHere = hasFile(join(spec.wal.dir, name), expected?.segmentBytes ?? null);
    tools.progress.expect(file.bytes, isHere ? file.bytes : 0);
    return isHere ? [] : [() => transferFile(tools, spec, name, file, expected)];
  });
  return { transfers, bytes: wanted.reduce((bytes, { file }) => bytes + file.bytes, 0) };
}

async function readSwitches(
  { objects }: MoverTools,
  files: readonly WalFile[],
  timeline: number,
): Promise<TimelineSwitch[]> {
  const name = neededHistory(timeline);
  if (name === null) return [];
  const file = files.find((one) => one.name === name);
  if (file === undefined) throw stepFailure('TargetInHole', `the archive does not have ${name}`);
  const switches = parseHistory((await readWalFile(objects, file)).toString('utf8'));
  if (switches === null) throw walCorrupt(file, 'is not a timeline history');
  return switches;
}

function expectedSegment(name: string, { wal }: FetchSpec, base: BaseHeader | null): ExpectedSegment {
  return {
    name,
    segmentBytes: wal.walSegmentBytes,
    systemIdentifier: base?.systemIdentifier ?? null,
    postgresMajor: base?.postgresMajor ?? null,
  };
}

/** Files get their plain name when they are complete and checked. */
function hasFile(path: string, bytes: number | null): boolean {
  const facts = statSync(path, { throwIfNoEntry: false });
  return facts?.isFile() === true && (bytes === null || facts.size === bytes);
}

/** Fetched twice before it is called damaged: the wire may have been at fault. */
async function transferFile(
  tools: MoverTools,
  spec: FetchSpec,
  name: string,
  file: WalFile,
  expected: ExpectedSegment | null,
): Promise<void> {
  const first = await fetchFile(tools, spec, name, file, expected);
  const problem = first === null ? null : await fetchFile(tools, spec, name, file, expected);
  if (problem !== null) throw walCorrupt(file, problem);
  tools.progress.finished(file.bytes);
}

async function fetchFile(
  tools: MoverTools,
  spec: FetchSpec,
  name: string,
  file: WalFile,
  expected: ExpectedSegment | null,
): Promise<string | null> {
  if (file.bytes === 0) return 'is empty';
  const lease = await tools.buffers.acquire(file.bytes);
  try {
    const content = await tools.objects.get(file.key, { start: 0, end: file.bytes - 1 }, bytesOf(lease));
    tools.progress.fetched(file.bytes);
    const reply = await tools.threads.run({
      kind: 'wal',
      // What a repository decrypts on the way is a little shorter than what it keeps.
      lease: { ...lease, bytes: content.length },
      compression: file.compression,
      dir: spec.wal.dir,
      name,
      owner: spec.owner,
      expected,
      sha1: file.sha1 ?? null,
      limitBytes: expected?.segmentBytes ?? LARGEST_HISTORY_BYTES,
    });
    return reply.bad;
  } finally {
    tools.buffers.release(lease);
  }
}
