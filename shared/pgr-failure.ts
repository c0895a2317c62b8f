/**
 * A typed failure outside of activities and workflows: the command line, the config loader, the lab. Activities throw
 * `stepFailure` instead, because theirs travels through Temporal.
 */
import { FAILURES, type FailureType } from './failures.js';

export type Problem = { path: string; problem: string };

export type PgrFailureOptions = { hint?: string; next?: string[]; problems?: Problem[]; cause?: unknown };

/** One of the closed list in failures.ts: lower-case message with the facts, a hint that says what to run, the commands to run next. */
export class PgrFailure extends Error {
  override readonly name = 'PgrFailure';
  readonly hint: string;
  readonly next: string[];
  /** Every single thing that is wrong, when there can be several (a config file). */
  readonly problems: Problem[];

  constructor(
    readonly code: FailureType,
    message: string,
    options: PgrFailureOptions = {},
  ) {
    super(message, options.cause === undefined ? {} : { cause: options.cause });
    this.hint = options.hint ?? FAILURES[code].hint;
    this.next = options.next ?? [];
    this.problems = options.problems ?? [];
  }
}
