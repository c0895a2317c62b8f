/** Rows of `pgr check`. What cannot be read is a row that is not ok, never a row that is missing (invariant 7). */
import type { EvidenceCheck } from '../../../shared/contracts/sandbox.js';

export function row(check: string, expected: string, actual: string, ok: boolean, note?: string): EvidenceCheck {
  return { check, expected, actual, ok, ...(note === undefined ? {} : { note }) };
}

/** The rows that `look` finds; when it fails, one row with what went wrong. */
export async function attempt(
  check: string,
  expected: string,
  look: () => Promise<EvidenceCheck[]>,
): Promise<EvidenceCheck[]> {
  try {
    return await look();
  } catch (error) {
    return [row(check, expected, messageOf(error), false)];
  }
}

function messageOf(error: unknown): string {
  const { message } = (error ?? {}) as { message?: unknown };
  return typeof message === 'string' && message !== '' ? message : 'unknown error';
}

/** `3 min`, `2.5 h`: an age for people. */
export function age(seconds: number): string {
  if (seconds < 120) return `${String(Math.round(seconds))} s`;
  if (seconds < 7_200) return `${String(Math.round(seconds / 60))} min`;
  return `${(seconds / 3_600).toFixed(1)} h`;
}

export function gigabytes(bytes: number): string {
  return `${(bytes / 1e9).toFixed(2)} GB`;
}
