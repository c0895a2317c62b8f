/** Progress of a copy on this disk: what the target holds against what the source does. */
import type { JobProgress } from '../lib/job-runner.js';
import { treeBytes } from './rebuild/tree-bytes.js';

/** Counting a tree of many files takes a moment itself. */
const EVERY_MS = 2_000;

/** For `readProgress` of the job that copies `from` to `to`. Never throws: files come and go meanwhile. */
export async function copyProgress(from: string, to: string): Promise<() => Promise<JobProgress | null>> {
  const total = await treeBytes(from).catch(() => null);
  let last: JobProgress | null = null;
  let at = 0;
  return async () => {
    if (Date.now() - at < EVERY_MS) return last;
    const done = await treeBytes(to).catch(() => null);
    at = Date.now();
    last = done === null ? last : { done, total, unit: 'bytes' };
    return last;
  };
}
