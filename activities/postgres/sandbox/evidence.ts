/** Rows of evidence. A check that could not be made is a row that is not good (invariant 7), never an exception and never left out. */
import type { EvidenceCheck } from '../../../shared/contracts/sandbox.js';

export type CheckOutcome = { actual: string; ok: boolean; note?: string };

/** Makes one check; an error becomes `unknown: …` with ok false. */
export async function checkOf(
  check: string,
  expected: string,
  make: () => Promise<CheckOutcome>,
): Promise<EvidenceCheck> {
  try {
    return { check, expected, ...(await make()) };
  } catch (error) {
    return { check, expected, actual: `unknown: ${reasonOf(error)}`, ok: false };
  }
}

/** First line of an error, for a row. */
export function reasonOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.split('\n')[0] ?? '';
}
