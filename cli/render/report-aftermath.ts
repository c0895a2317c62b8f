/** The end of a report: what was lost, what was kept, what is left to do. Pure. */
import type { RecoveryPlan, TransactionPoint } from '../../shared/contracts/plan.js';
import type { PromotionResult } from '../../shared/contracts/promotion.js';
import type { RecordEntry } from '../../shared/contracts/record.js';
import { codeSpan } from '../../shared/markdown.js';
import { bodiesOf, dumpResultOf, recoveryResultOf, viewFromRecord } from '../record-view.js';
import { plainText } from './markdown.js';
import {
  changeLostLines,
  flipFollowUps,
  flipResultOf,
  rebuildCopies,
  rebuildFollowUps,
  rebuildResultOf,
} from './report-change.js';
import { dumpCopies, dumpFollowUps, dumpLostLines } from './report-dump.js';
import { formatDuration, shellWord } from './text.js';

type Entries = readonly RecordEntry[];

/** Commits and seconds that a promotion gave up, or would give up. */
export function lostLines(entries: Entries, change: Entries | null): string[] {
  const ofChange = changeLostLines(resultOf(entries));
  if (ofChange !== null) return ofChange;
  const promotion = promotionOf(change ?? entries);
  if (promotion?.outcome === 'undone') {
    return [
      `What was committed since the promotion was set aside with the promoted data${untilText(promotion.lost.until)}.`,
    ];
  }
  if (promotion?.dump !== undefined) return dumpLostLines(promotion.dump, true);
  return recoveryLostLines(promotion, promotion?.recovery ?? recoveryResultOf(resultOf(entries))?.plan);
}

function recoveryLostLines(promotion: PromotionResult | null, plan: RecoveryPlan | undefined): string[] {
  if (plan === undefined) return ['Nothing: production was not replaced.'];
  const given = givenUp(promotion?.lost ?? plan.lost);
  return [
    promotion === null
      ? `- Nothing: production was not replaced. A promotion would give up ${given}.`
      : `- Production gave up ${given}. They are in the kept data and in the archive of the old timeline.`,
    ...boundaryLine('Last transaction kept', plan.boundary.kept),
    ...boundaryLine('First transaction dropped', plan.boundary.dropped),
  ];
}

function givenUp({ commits, exact, seconds, until }: PromotionResult['lost']): string {
  return `${exact ? '' : 'at least '}${String(commits)} commits in ${formatDuration(seconds)}${untilText(until)}`;
}

function untilText(until: string | null): string {
  return until === null ? '' : `, until ${plainText(until)}`;
}

function boundaryLine(title: string, at: TransactionPoint | null): string[] {
  return at === null ? [] : [`- ${title}: ${point(at)}`];
}

function point({ xid, lsn, time }: TransactionPoint): string {
  return `${codeSpan(xid)} at ${plainText(time)}, ${codeSpan(lsn)}`;
}

/** What was set aside and where; nothing of it is deleted by the run. */
export function keptCopies(entries: Entries, change: Entries | null): string[] {
  const all = [...entries, ...(change ?? [])];
  const kept = bodiesOf(all, 'step-done').flatMap(({ step, result }) =>
    keptDirs(result).map((dir) => `- ${codeSpan(dir)} (step ${step})`),
  );
  const recovery = recoveryResultOf(resultOf(entries));
  const sandbox =
    recovery?.outcome === 'kept'
      ? [
          `- sandbox ${codeSpan(recovery.sandbox.url)} on ${plainText(recovery.ref.host)}, kept until ${plainText(recovery.sandbox.expiresAt)}`,
        ]
      : [];
  const dump = dumpResultOf(resultOf(entries));
  const rebuild = rebuildResultOf(resultOf(entries));
  const others = [...(rebuild === null ? [] : rebuildCopies(rebuild)), ...(dump === null ? [] : dumpCopies(dump))];
  const lines = [...new Set([...kept, ...sandbox, ...others])];
  return lines.length === 0 ? ['None were needed.'] : lines;
}

/** Directories that a step's result names as kept or set aside, also one level down (a result per node). */
function keptDirs(result: unknown, depth = 0): string[] {
  if (typeof result !== 'object' || result === null || depth > 2) return [];
  return Object.entries(result).flatMap(([key, value]) => {
    if ((key === 'keptDataDir' || key === 'setAsideDir') && typeof value === 'string') return [value];
    return keptDirs(value, depth + 1);
  });
}

/** The list that is forgotten at 5 a.m. */
export function followUps(entries: Entries, change: Entries | null): string[] {
  const view = viewFromRecord(entries);
  if (view === null) return [];
  const run = shellWord(view.run);
  const flip = flipResultOf(resultOf(entries));
  if (flip !== null) return flipFollowUps(flip);
  const rebuild = rebuildResultOf(resultOf(entries));
  if (rebuild !== null) return rebuildFollowUps(rebuild);
  const dump = dumpResultOf(resultOf(entries));
  if (dump !== null) return dumpFollowUps(dump, run);
  const promotion = promotionOf(change ?? entries);
  if (promotion === null) return withoutPromotion(entries, run, view.environment);
  return afterPromotion(promotion, run, view.environment);
}

/** When the history that production has now ends. */
function endOfHistory({ recovery, dump }: PromotionResult): string {
  return recovery?.boundary.kept?.time ?? dump?.lost.since ?? 'the target';
}

function afterPromotion(promotion: PromotionResult, run: string, environment: string): string[] {
  const from = endOfHistory(promotion);
  const until = promotion.lost.until ?? 'the promotion';
  const gap = `${plainText(from)} to ${plainText(until)}`;
  return [
    '- [ ] Run the smoke queries of the application against the restored database.',
    `- [ ] Tell users: what they did from ${gap} is not there any more.`,
    '- [ ] Reconcile outside systems (payments, mail, webhooks, search, analytics) and the audit log with ids that do not exist any more.',
    '- [ ] Rotate webhook secrets, and every other secret that the restored data hold, when the incident may have exposed them.',
    `- [ ] End sessions and tokens that were issued from ${gap}.`,
    promotion.dump === undefined
      ? '- [ ] Check replication slots, publications and change-data-capture consumers: they are on a new timeline.'
      : '- [ ] Replication slots, publications and subscriptions are not in a dump: make them anew.',
    ...(promotion.leftBehind ?? []).map((node) => leftBehindLine(environment, node)),
    `- [ ] Look at ${codeSpan(`pgr window ${environment}`)} and ${codeSpan(`pgr check ${environment}`)} once more tomorrow.`,
    ...(promotion.outcome === 'undone'
      ? []
      : [
          `- [ ] While the kept data exist, ${codeSpan(`pgr undo ${run}`)} brings the old cluster back; delete them when nobody needs them any more.`,
        ]),
  ];
}

function leftBehindLine(environment: string, node: string): string {
  const command = `pgr rebuild-standby ${environment} ${node} --method full`;
  return `- [ ] Standby ${plainText(node)} is still of the old cluster and cannot follow: stop it, move its data directory away, then ${codeSpan(command)}`;
}

function withoutPromotion(entries: Entries, run: string, environment: string): string[] {
  const recovery = recoveryResultOf(resultOf(entries));
  if (recovery?.outcome !== 'kept') return [`- [ ] ${codeSpan(`pgr check ${environment}`)}`];
  return [
    `- [ ] Make it production: ${codeSpan(`pgr promote ${environment} --from ${run}`)}`,
    `- [ ] Or drop it: ${codeSpan(`pgr discard ${run}`)}; it is dropped by itself at ${plainText(recovery.sandbox.expiresAt)}`,
  ];
}

function resultOf(entries: Entries): unknown {
  return bodiesOf(entries, 'result').at(-1)?.result;
}

function promotionOf(entries: Entries): PromotionResult | null {
  const result = resultOf(entries);
  const isIt = typeof result === 'object' && result !== null && 'recovery' in result && 'lost' in result;
  return isIt ? (result as PromotionResult) : null;
}
