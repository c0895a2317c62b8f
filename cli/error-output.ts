/** Errors as people and as scripts read them, and the exit code of each. */
import { FAILURES, isFailureType, type FailureType } from '../shared/failures.js';
import { PgrFailure, type Problem } from '../shared/pgr-failure.js';

export type ErrorView = {
  code: FailureType;
  message: string;
  hint: string;
  next: string[];
  problems?: Problem[];
  /** Only for a bug. */
  stack?: string;
  exitCode: number;
};

/** What to show of anything that was thrown. An error that nobody typed is a bug of ours: exit code 70, with its stack. */
export function viewOfError(error: unknown): ErrorView {
  if (error instanceof PgrFailure) {
    const { code, message, hint, next, problems } = error;
    return {
      code,
      message,
      hint,
      next,
      ...(problems.length > 0 ? { problems } : {}),
      exitCode: FAILURES[code].exitCode,
    };
  }
  const typed = typedCause(error);
  if (typed !== null) return typed;
  const message = error instanceof Error ? error.message : String(error);
  const stack = error instanceof Error ? error.stack : undefined;
  return {
    code: 'Bug',
    message,
    hint: FAILURES.Bug.hint,
    next: [],
    ...(stack === undefined ? {} : { stack }),
    exitCode: 70,
  };
}

/** A failure of the closed list anywhere below `error` (Temporal wraps those of activities and workflows). */
function typedCause(error: unknown): ErrorView | null {
  for (let at: unknown = error; at instanceof Error; at = at.cause) {
    const type = 'type' in at && typeof at.type === 'string' ? at.type : null;
    if (!isFailureType(type)) continue;
    const details = 'details' in at && Array.isArray(at.details) ? (at.details[0] as unknown) : null;
    const hint = stringField(details, 'hint') ?? FAILURES[type].hint;
    return { code: type, message: at.message, hint, next: nextOf(details), exitCode: FAILURES[type].exitCode };
  }
  return null;
}

function stringField(value: unknown, field: string): string | null {
  if (typeof value !== 'object' || value === null) return null;
  const found = (value as Record<string, unknown>)[field];
  return typeof found === 'string' && found !== '' ? found : null;
}

function nextOf(details: unknown): string[] {
  if (typeof details !== 'object' || details === null || !('next' in details) || !Array.isArray(details.next))
    return [];
  return details.next.filter((command): command is string => typeof command === 'string');
}

/** The typed failure as an exception again, for failures that arrived as data (a parked step, a failed run). */
export function failureFrom(code: string, message: string, hint: string, next: string[]): PgrFailure {
  return new PgrFailure(isFailureType(code) ? code : 'CommandFailed', message, { hint, next });
}

/** `error:` / `hint:` / `next:` lines for standard error. */
export function formatError(view: ErrorView): string {
  const lines = [`error: ${view.message}`];
  if (view.stack !== undefined) lines.push(view.stack);
  lines.push(`hint: ${view.hint}`, ...view.next.map((command) => `next: ${command}`));
  return `${lines.join('\n')}\n`;
}

/** The document of `--json`. */
export function errorDocument({ code, message, hint, next, problems, stack }: ErrorView): object {
  return { api: 1, error: { code, message, hint, next, problems, stack } };
}
