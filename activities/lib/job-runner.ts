/** A job: an external command that outlives the worker that started it (architecture section 7). */
export type JobSpec = {
  /** A function of run and step, see `jobIdFor`; the same on every attempt. */
  id: string;
  /** Program and arguments; no shell, no secret. */
  argv: string[];
  cwd?: string;
  /** Added to a minimal environment (PATH, HOME, LANG, TZ). Values may be secrets: they are handed over, never stored in the spec. */
  env?: Record<string, string>;
  /** User of the process when the worker runs as root. */
  runAs?: { uid: number; gid: number };
  /**
   * True for a command that must not run a second time on what its first run left (pg_rewind): when it died without a result, or was ended from
   * outside, `run` throws JobLost instead of starting it again.
   */
  once?: boolean;
};

export type JobProgress = { done: number; total: number | null; unit: 'bytes' | 'lsn'; note?: string };

export type JobResult = {
  /** True when `until` was reached and the job goes on by itself; the other fields say nothing then. */
  running: boolean;
  exitCode: number | null;
  signal: string | null;
  seconds: number;
  /** Last lines of its output, secrets masked. */
  logTail: string[];
  logFile: string;
  /** What the job left in `result.json`, if it did. */
  output: unknown;
};

export type RunJobOptions = {
  /** Called about once a second; the default reads the `progress` file of the job directory (one JSON object). */
  readProgress?: () => Promise<JobProgress | null>;
  /** Polled about every 50 ms; once true, `run` returns although the job goes on (a later `run` attaches to it again). */
  until?: () => Promise<boolean>;
};

export interface JobRunner {
  /**
   * Attaches to the job when it lives, returns its result when it ended, starts it when there is none (or when it died without
   * a result). Heartbeats progress meanwhile. A PAUSED, RESET or WORKER_SHUTDOWN cancellation leaves the job alone; a real cancel ends it
   * and its children. A job that ends with a non-zero exit code is returned, not thrown: the caller knows what it means.
   */
  run(spec: JobSpec, options?: RunJobOptions): Promise<JobResult>;
  /** Forgets the result of an ended job, so that the next `run` starts it again (retry by a person). */
  forget(id: string): Promise<void>;
  /** Ends a job and its children when it runs, and forgets its result. Returns when nothing of it lives; a job that was never started is fine. */
  end(id: string): Promise<void>;
  /** Directory of a job: `<stateDir>/jobs/<id>`. A job finds it in PGR_JOB_DIR. */
  directory(id: string): string;
}
