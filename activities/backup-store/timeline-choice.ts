/** Which timeline is production's. */

export type TimelineFacts = {
  /** What the live primary writes on, null when none answers. */
  live: number | null;
  /** Timelines that the archive has segments or a history file of. */
  archived: readonly number[];
  /** Timelines marked as not production's history any more. */
  abandoned: readonly number[];
  /** Timeline of the newest base, null without bases. */
  newestBase: number | null;
};

export type TimelineChoice = { timeline: number; warnings: string[] };

/**
 * The live primary decides; without one the newest archived timeline that is not marked abandoned; without WAL the newest base's. Null
 * when there is nothing at all. A guess between several timelines is said aloud: a test restore that archived by
 * mistake looks exactly like a promotion.
 */
export function chooseTimeline(facts: TimelineFacts): TimelineChoice | null {
  const { live, abandoned } = facts;
  if (live !== null) {
    const warnings = abandoned.includes(live)
      ? [`the live primary is on timeline ${live}, which is marked as abandoned in the archive`]
      : [];
    return { timeline: live, warnings };
  }
  const candidates = [...new Set(facts.archived)].filter((timeline) => !abandoned.includes(timeline));
  const newest = candidates.length === 0 ? facts.newestBase : Math.max(...candidates);
  if (newest === null) return null;
  const others = candidates.filter((timeline) => timeline !== newest);
  if (others.length === 0) return { timeline: newest, warnings: [] };
  const warning = `no primary answers: timeline ${newest} is taken as production's, the newest of ${[...others, newest].sort((a, b) => a - b).join(', ')}`;
  return { timeline: newest, warnings: [warning] };
}
