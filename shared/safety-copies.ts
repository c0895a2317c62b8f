/** Which safety copies may go. Pure: the time comes in. */
import type { SafetyCopy } from './contracts/rebuild.js';

/** Null: that rule is not asked for. With both, a copy must be old *and* beyond the number to keep. */
export type Retention = { olderThanSeconds: number | null; keep: number | null };
export type PruneChoice = { remove: SafetyCopy[]; keep: { copy: SafetyCopy; why: string }[] };

/**
 * Chooses by age and count, node by node: whatever is asked for, the newest verified copy of a node stays, and with it every copy that is newer.
 * Without any rule nothing goes.
 */
export function choosePrunable(copies: readonly SafetyCopy[], retention: Retention, nowIso: string): PruneChoice {
  const choice: PruneChoice = { remove: [], keep: [] };
  for (const node of [...new Set(copies.map((copy) => copy.node))].sort()) {
    const newestFirst = copies
      .filter((copy) => copy.node === node)
      .sort((a, b) => Date.parse(b.createdAt) - Date.parse(a.createdAt));
    const newestVerified = newestFirst.findIndex((copy) => copy.verified);
    newestFirst.forEach((copy, index) => {
      const why = whyKept(copy, index, newestVerified, retention, nowIso);
      if (why === null) choice.remove.push(copy);
      else choice.keep.push({ copy, why });
    });
  }
  return choice;
}

function whyKept(
  copy: SafetyCopy,
  index: number,
  newestVerified: number,
  { olderThanSeconds, keep }: Retention,
  nowIso: string,
): string | null {
  if (newestVerified < 0) return 'no copy of this node is verified';
  if (index === newestVerified) return 'the newest verified copy of its node';
  if (index < newestVerified) return 'newer than the newest verified copy of its node';
  if (olderThanSeconds === null && keep === null) return 'no rule was given';
  if (keep !== null && index < keep) return `one of the ${String(keep)} newest of its node`;
  const ageSeconds = (Date.parse(nowIso) - Date.parse(copy.createdAt)) / 1000;
  // An age that cannot be read is not an old one.
  if (olderThanSeconds !== null && !(ageSeconds > olderThanSeconds)) return 'not old enough';
  return null;
}
