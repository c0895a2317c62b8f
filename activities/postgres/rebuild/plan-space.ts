/** Space that a rebuild needs beside what there is, and the time it will take: told before anything is touched. */
import { copyFile, mkdtemp, rm, statfs } from 'node:fs/promises';
import path from 'node:path';

import type { RebuildMethod, RebuildPlan } from '../../../shared/contracts/rebuild.js';
import { runProgram } from '../../lib/exec.js';
import { stepFailure } from '../../lib/failure.js';
import { reflinkProbeArgs } from './commands.js';

const MIB = 1024 * 1024;
/** WAL that is written meanwhile, logs and temporary files: a twentieth of the data, at least 256 MiB. */
const HEADROOM_SHARE = 0.05;
const HEADROOM_BYTES = 256 * MIB;
/** Measured on one machine with two cores over loopback; a guess on any other, and the limit that was asked for when it is lower. */
const COPY_BYTES_PER_SECOND = 200 * MIB;
const LOCAL_COPY_BYTES_PER_SECOND = 500 * MIB;
/** Stop, checkpoint on the primary, start, first replay. */
const FIXED_SECONDS = 3;

export type Sizes = {
  method: RebuildMethod;
  fallback: boolean;
  /** Size of the peer. */
  fullBytes: number;
  /** What a rewind copies over the network, when a dry run said it. */
  rewindBytes: number | null;
  /** Size of the data that are copied on this disk before a rewind: 0 in place, and where blocks are shared. */
  localBytes: number;
  rateLimitKbPerSecond: number | null;
};

/** Bytes that must be free at the same time: with a fallback also for the full copy. Pure. */
export function neededBytes(sizes: Sizes): number {
  const headroom = Math.max(HEADROOM_BYTES, Math.round(sizes.fullBytes * HEADROOM_SHARE));
  if (sizes.method === 'basebackup') return sizes.fullBytes + headroom;
  const rewind = sizes.localBytes + (sizes.rewindBytes ?? sizes.fullBytes);
  return Math.max(rewind, sizes.fallback ? sizes.fullBytes : 0) + headroom;
}

/** Bytes over the network and a guess of the seconds. Pure. */
export function estimate(sizes: Sizes): { copyBytes: number; estimateSeconds: number } {
  const limit = sizes.rateLimitKbPerSecond === null ? Infinity : sizes.rateLimitKbPerSecond * 1024;
  const copyBytes = sizes.method === 'basebackup' ? sizes.fullBytes : (sizes.rewindBytes ?? sizes.fullBytes);
  // pg_rewind knows no limit.
  const rate = sizes.method === 'basebackup' ? Math.min(limit, COPY_BYTES_PER_SECOND) : COPY_BYTES_PER_SECOND;
  const local = sizes.method === 'rewind' ? sizes.localBytes / LOCAL_COPY_BYTES_PER_SECOND : 0;
  return { copyBytes, estimateSeconds: Math.ceil(FIXED_SECONDS + copyBytes / rate + local) };
}

/** Throws SpaceMissing when the file system around `place` has less than that. */
export async function requireSpace(place: string, needBytes: number): Promise<RebuildPlan['space']> {
  const { bavail, bsize } = await statfs(place);
  const availableBytes = bavail * bsize;
  if (availableBytes >= needBytes) return { path: place, needBytes, availableBytes };
  throw stepFailure(
    'SpaceMissing',
    `the rebuild needs ${inMiB(needBytes)} in ${place} beside the safety copy, its file system has ${inMiB(availableBytes)} free`,
    {
      hint: `nothing was touched; free ${inMiB(needBytes - availableBytes)} there (\`pgr snapshots prune\`), then \`pgr retry\``,
    },
  );
}

/** Whether this file system shares blocks between files, found out with one small file of the data. */
export async function sharesBlocks(parent: string, sample: string): Promise<boolean> {
  const dir = await mkdtemp(path.join(parent, '.pgr-reflink-'));
  try {
    await copyFile(sample, path.join(dir, 'a'));
    const result = await runProgram('cp', reflinkProbeArgs(path.join(dir, 'a'), path.join(dir, 'b')));
    return result.exitCode === 0;
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

function inMiB(bytes: number): string {
  return `${String(Math.ceil(bytes / MIB))} MiB`;
}
