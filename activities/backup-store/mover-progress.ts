/** Counts of one fetch, in stored bytes. */
import type { JobReporter } from './base-job.js';

export type MoverProgress = {
  /** Adds to what this fetch is about; `already` bytes of it are here from an earlier attempt. */
  expect(bytes: number, already: number): void;
  /** Bytes that were asked of the store by this process. */
  fetched(bytes: number): void;
  /** Bytes of the plan that are on disk now. */
  finished(bytes: number): void;
  fetchedBytes(): number;
  start(): void;
  end(): void;
};

/** Progress that is written to the job directory. */
export function createProgress(reporter: JobReporter): MoverProgress {
  let total = 0;
  let done = 0;
  let fetched = 0;
  const report = (): void => {
    reporter.progress({ done, total, unit: 'bytes' });
  };
  return {
    expect(bytes, already) {
      total += bytes;
      done += already;
    },
    fetched(bytes) {
      fetched += bytes;
    },
    finished(bytes) {
      done += bytes;
      report();
    },
    fetchedBytes: () => fetched,
    start: report,
    end() {
      done = total;
      report();
    },
  };
}
