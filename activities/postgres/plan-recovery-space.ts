/** Space that a recovery needs on the sandbox's file system, told before anything is fetched. */
import { statfs } from 'node:fs/promises';
import path from 'node:path';

import type { BaseRef, RecoveryPlan } from '../../shared/contracts/plan.js';
import type { ResolvedTarget } from '../lib/backup-store.js';
import { stepFailure } from '../lib/failure.js';
import { codeOf } from './data-directory.js';

const MIB = 1024 * 1024;
/** For what replay adds to the files, logs and temporary files: a twentieth of the data, at least 256 MiB. */
const HEADROOM_SHARE = 0.05;
const HEADROOM_BYTES = 256 * MIB;

/**
 * Bytes needed at the same time: every base of the chain as it lies in the store's tar, the copy that pg_combinebackup writes when there are incrementals
 * (counted in full, although clones take no space), the WAL uncompressed, and room to breathe.
 */
export function neededBytes(resolved: Pick<ResolvedTarget, 'baseChain' | 'fetch' | 'walSegmentBytes'>): number {
  const bases = sumOfBases(resolved.baseChain);
  const combined = resolved.baseChain.length > 1 ? bases : 0;
  const wal = resolved.fetch.walSegments * resolved.walSegmentBytes;
  return bases + combined + wal + Math.max(HEADROOM_BYTES, Math.round(bases * HEADROOM_SHARE));
}

function sumOfBases(chain: readonly BaseRef[]): number {
  return chain.reduce((sum, base) => sum + base.rawBytes, 0);
}

/** Space for `needBytes` in the file system of `dir` (which need not exist yet). Throws SpaceMissing when it is too small. */
export async function readSpace(dir: string, needBytes: number): Promise<RecoveryPlan['space']> {
  const existing = await nearestExisting(dir);
  const { bavail, bsize } = await statfs(existing);
  const availableBytes = bavail * bsize;
  if (availableBytes >= needBytes) return { path: dir, needBytes, availableBytes };
  throw stepFailure(
    'SpaceMissing',
    `the recovery needs ${inMiB(needBytes)} in ${dir}, its file system (${existing}) has ${inMiB(availableBytes)} free`,
    {
      hint: `free ${inMiB(needBytes - availableBytes)} there, or name another place with sandbox.dir or --host; nothing was fetched`,
    },
  );
}

async function nearestExisting(dir: string): Promise<string> {
  for (let candidate = path.resolve(dir); ; candidate = path.dirname(candidate)) {
    try {
      await statfs(candidate);
      return candidate;
    } catch (error) {
      if (codeOf(error) !== 'ENOENT' || candidate === path.dirname(candidate)) {
        throw stepFailure('PreconditionFailed', `cannot read the free space of ${candidate}: ${codeOf(error)}`, {
          cause: error,
        });
      }
    }
  }
}

function inMiB(bytes: number): string {
  return `${Math.ceil(bytes / MIB)} MiB`;
}
