/** How our long programs talk to whoever runs them: files in PGR_JOB_DIR (architecture section 7), each replaced atomically. */
import { ApplicationFailure } from '@temporalio/common';
import { renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { isFailureType, type FailureType } from '../../shared/failures.js';
import type { JobProgress } from '../lib/job-runner.js';

export type JobReporter = {
  /** Writes `progress` at most every 200 ms, and always when the numbers are final. */
  progress(progress: JobProgress): void;
  /** Writes a file that says that something is done, e.g. `base-done`, with the numbers of it. */
  mark(name: string, numbers: Readonly<Record<string, number>>): void;
  result(value: unknown): void;
};

type TypedFailure = { type: FailureType; message: string; hint: string };

const PROGRESS_EVERY_MS = 200;

/** A reporter into `dir`. */
export function createJobReporter(dir: string): JobReporter {
  let last = 0;
  return {
    progress(progress) {
      const now = Date.now();
      if (now - last < PROGRESS_EVERY_MS && progress.done !== progress.total) return;
      last = now;
      replaceFile(join(dir, 'progress'), JSON.stringify(progress));
    },
    mark(name, numbers) {
      replaceFile(join(dir, name), JSON.stringify(numbers));
    },
    result(value) {
      replaceFile(join(dir, 'result.json'), `${JSON.stringify(value)}\n`);
    },
  };
}

/** What `result.json` says of a failure. Anything that is not typed is a bug of ours. */
function describeFailure(error: unknown): TypedFailure {
  const shape = (typeof error === 'object' && error !== null ? error : {}) as Record<string, unknown>;
  const name = error instanceof ApplicationFailure ? error.type : shape['code'];
  const message = error instanceof Error ? error.message : String(error);
  if (typeof name !== 'string' || !isFailureType(name)) return { type: 'Bug', message, hint: '' };
  const details = error instanceof ApplicationFailure ? (error.details?.[0] as { hint?: string } | undefined) : shape;
  const hint = details?.['hint'];
  return { type: name, message, hint: typeof hint === 'string' ? hint : '' };
}

/**
 * Runs a program's work: its result goes to `result.json`; a failure goes there as `{"failure": …}` and to stderr. Returns the exit code.
 */
export async function runAsJob(reporter: JobReporter, work: () => Promise<unknown>): Promise<number> {
  try {
    reporter.result(await work());
    return 0;
  } catch (error) {
    const failure = describeFailure(error);
    process.stderr.write(`error: ${failure.message}\n`);
    if (failure.type === 'Bug' && error instanceof Error) process.stderr.write(`${error.stack ?? ''}\n`);
    reporter.result({ failure });
    return 1;
  }
}

function replaceFile(path: string, text: string): void {
  const temporary = `${path}.${String(process.pid)}.tmp`;
  writeFileSync(temporary, text, { mode: 0o644 });
  renameSync(temporary, path);
}
