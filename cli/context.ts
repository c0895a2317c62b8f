/** What every command gets from outside, so that tests run the real command tree in-process. */
import type { Config } from '../config/schema.js';
import type { RunClient } from './run-client.js';

export type CliIo = {
  /** Results: standard output. Writes `text` as it is; callers end their lines. */
  out(text: string): void;
  /** Everything else: standard error. */
  err(text: string): void;
  /** True when standard output is a terminal. */
  isTty: boolean;
  /** Width of the terminal, 80 when there is none. */
  columns: number;
  /** Height of the terminal; unlimited when left out. */
  rows?: number;
  /** False with NO_COLOR, --no-color or without a terminal. */
  color: boolean;
};

export type LoadedConfig = { path: string; config: Config };

/**
 * Commands register with `export function registerX(program: Command, context: CliContext): void`. An action prints its result
 * with `context.result(document, text)` and throws PgrFailure (or lets an error through, which is then a bug with exit code 70).
 */
export type CliContext = {
  io: CliIo;
  env: Readonly<Record<string, string | undefined>>;
  cwd: string;
  now: () => Date;
  /** True with --json: one JSON document on standard output, errors included. */
  json: () => boolean;
  /** Prints `document` (with `"api": 1` in front) under --json, else what `text` returns. */
  result: (document: object, text: () => string) => void;
  /** The lab's directory: --dir, else PGR_LAB_DIR, else `./.lab`; absolute. */
  labDir: () => string;
  /** The config of this call (see findConfig); read once. Throws ConfigInvalid or NotFound. */
  config: () => Promise<LoadedConfig>;
  /** Connects to Temporal once and closes when the command ends. Throws TemporalUnavailable. */
  client: () => Promise<RunClient>;
  /** Exit code of the process when the action returns without throwing; 0 unless set. */
  exit: (code: number) => void;
  /** Aborted by Ctrl-C. Commands that wait must end soon after it. */
  interrupted: AbortSignal;
  /** Waits, ends early when interrupted. Tests replace it. */
  sleep: (milliseconds: number) => Promise<void>;
};
