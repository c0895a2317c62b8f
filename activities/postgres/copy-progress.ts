/** Progress of copies that say little about themselves: a tree on this disk, and pg_rewind. */
import { open } from 'node:fs/promises';
import path from 'node:path';

import type { JobProgress } from '../lib/job-runner.js';
import { treeBytes } from './rebuild/tree-bytes.js';

/** Counting is work for the same disk: at most a tenth of the time goes into it. */
const EVERY_MS = 2_000;
const SHARE = 10;
const TAIL_BYTES = 4_096;

type ReadProgress = () => Promise<JobProgress | null>;

/** For the job that copies `from` to `to`: what the target holds against what the source does. Never throws: files come and go meanwhile. */
export async function copyProgress(from: string, to: string): Promise<ReadProgress> {
  const total = await treeBytes(from).catch(() => null);
  let last: JobProgress | null = null;
  let nextAt = 0;
  return async () => {
    const startedAt = Date.now();
    if (startedAt < nextAt) return last;
    const done = await treeBytes(to).catch(() => null);
    if (done !== null) last = { done: Math.min(done, total ?? done), total, unit: 'bytes' };
    nextAt = Date.now() + Math.max(EVERY_MS, (Date.now() - startedAt) * SHARE);
    return last;
  };
}

/** For a job that runs `pg_rewind --progress`: the last count in its log. Null until it copies. */
export function rewindProgress(jobDir: string): ReadProgress {
  return async () => {
    const log = await open(path.join(jobDir, 'log'), 'r').catch(() => null);
    if (log === null) return null;
    try {
      const { size } = await log.stat();
      const { buffer, bytesRead } = await log.read({
        buffer: Buffer.alloc(TAIL_BYTES),
        position: Math.max(0, size - TAIL_BYTES),
      });
      return parseRewindProgress(buffer.subarray(0, bytesRead).toString('utf8'));
    } finally {
      await log.close();
    }
  };
}

/** `123/456 kB (26%) copied` is the last of several. Pure. */
export function parseRewindProgress(text: string): JobProgress | null {
  const last = [...text.matchAll(/(\d+)\/(\d+) kB \(\d+%\) copied/g)].at(-1);
  return last === undefined ? null : { done: Number(last[1]) * 1024, total: Number(last[2]) * 1024, unit: 'bytes' };
}
