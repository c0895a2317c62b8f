/** What the report of a flip or a rebuild says of losses, copies and what is left to do. Pure. */
import type { FlipRunResult, LostTail } from '../../shared/contracts/flip.js';
import type { RebuildResult } from '../../shared/contracts/rebuild.js';
import { shortRunId } from '../../shared/ids.js';
import { codeSpan } from '../../shared/markdown.js';
import { dumpResultOf } from '../record-view.js';
import { plainText } from './markdown.js';
import { dumpLostLines } from './report-dump.js';
import { formatBytes, formatDuration, shellWord } from './text.js';

/** The result of a flip, null for anything else. */
export function flipResultOf(result: unknown): FlipRunResult | null {
  const isIt = typeof result === 'object' && result !== null && 'flip' in result && 'rejoin' in result;
  return isIt ? (result as FlipRunResult) : null;
}

/** The result of a rebuild, null for anything else. */
export function rebuildResultOf(result: unknown): RebuildResult | null {
  const isIt = typeof result === 'object' && result !== null && 'safetyCopy' in result && 'plan' in result;
  return isIt ? (result as RebuildResult) : null;
}

/** What a flip, a rebuild or the restore of a dump lost; null for the result of anything else. */
export function changeLostLines(result: unknown): string[] | null {
  const flip = flipResultOf(result);
  if (flip !== null) return flipLostLines(flip);
  const dump = dumpResultOf(result);
  if (dump !== null) return dumpLostLines(dump.plan, dump.outcome === 'promoted');
  return rebuildResultOf(result) === null ? null : ['Nothing: a standby holds nothing of its own.'];
}

/** Commits that the old primary had and the new one has not. */
function flipLostLines({ plan, flip, rejoin }: FlipRunResult): string[] {
  const tail = rejoin?.lost ?? flip.lost;
  if (tail !== null && (tail.commits.length > 0 || !tail.exact)) return tailLines(plan.from.name, plan.to.name, tail);
  if (tail !== null || !plan.failover) {
    return [`Nothing: ${plainText(plan.to.name)} had the last record of ${plainText(plan.from.name)}.`];
  }
  const bytes = plan.atRisk?.bytes ?? null;
  return [
    `- Not known: ${plainText(plan.from.name)} could not be asked. At risk when it was decided: ${bytes === null ? 'an unknown amount' : formatBytes(bytes)} of WAL.`,
    `- Its WAL still holds what it is: it is found when the node is rewound or looked at, before it is rebuilt.`,
  ];
}

function tailLines(from: string, to: string, { commits, exact }: LostTail): string[] {
  const number = `${exact ? '' : 'at least '}${String(commits.length)}`;
  return [
    `- ${number} commits of ${plainText(from)} that ${plainText(to)} does not have:`,
    ...commits.map(({ xid, lsn, time }) => `  - ${codeSpan(xid)} at ${plainText(time)}, ${codeSpan(lsn)}`),
  ];
}

/** The phases of the seconds that count, and what had to be done in them. */
export function flipNotes({ flip }: FlipRunResult): string[] {
  const phases = flip.phases.map(({ name, atMs }) => `${plainText(name)} ${String(Math.round(atMs))} ms`);
  return [
    ...(phases.length === 0 ? [] : [`- Phases: ${phases.join(', ')}`]),
    ...flip.notes.map((note) => `- ${plainText(note)}`),
  ];
}

/** What is left to do after a flip. */
export function flipFollowUps({ environment, plan, rejoin }: FlipRunResult): string[] {
  const env = shellWord(environment);
  const from = shellWord(plan.from.name);
  const back =
    rejoin === null || rejoin.outcome === 'needs-rebuild'
      ? [
          `- [ ] ${plainText(environment)} runs without a standby${rejoin === null ? '' : ` (${plainText(rejoin.why)})`}: ${codeSpan(`pgr rebuild-standby ${env} ${from}`)}`,
        ]
      : [`- [ ] To go back: ${codeSpan(`pgr flip-db ${env} --to ${from}`)}`];
  return [
    ...(plan.failover
      ? [`- [ ] Make sure that ${plainText(plan.from.name)} cannot start as a primary by itself.`]
      : []),
    ...back,
    ...plan.logicalSlots
      .filter(({ becomes }) => becomes === 'lost')
      .map(
        ({ name }) =>
          `- [ ] Logical slot ${codeSpan(name)} is gone: make it anew and let its consumer take a fresh copy.`,
      ),
    `- [ ] Take a fresh base on the new timeline: ${codeSpan(`pgr take-base ${env} --node ${shellWord(plan.to.name)}`)}`,
    `- [ ] ${codeSpan(`pgr topology ${env}`)} and ${codeSpan(`pgr check ${env}`)} once more tomorrow.`,
  ];
}

/** The safety copy of a rebuild. */
export function rebuildCopies({ safetyCopy }: RebuildResult): string[] {
  const { provider, name, host, node } = safetyCopy;
  return [`- ${codeSpan(name)} (${provider}) of ${plainText(node)} on ${plainText(host)}`];
}

/** What is left to do after a rebuild. */
export function rebuildFollowUps({ run, runId, environment, measured }: RebuildResult): string[] {
  const undo = shellWord(`${run}@${shortRunId(runId)}`);
  return [
    `- [ ] The standby took ${formatDuration(measured.rebuildSeconds)} to come back; see that it keeps up: ${codeSpan(`pgr topology ${shellWord(environment)}`)}`,
    `- [ ] While the safety copy exists, ${codeSpan(`pgr undo ${undo}`)} brings the old data back; later: ${codeSpan(`pgr snapshots prune ${shellWord(environment)} --older-than 7d`)}`,
  ];
}
