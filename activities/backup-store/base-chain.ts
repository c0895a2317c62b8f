/** Which bases can be used, and which one a recovery starts from. */
import type { BaseRef, WindowBase } from '../../shared/contracts/plan.js';
import { compareLsn, type Lsn } from '../../shared/lsn.js';
import { compareTimestamps, normaliseTimestamp } from '../../shared/target-time.js';
import { segmentName, segmentNumberOf } from '../../shared/timeline.js';
import type { BaseHeader } from './base-catalog.js';
import { runHolding, type Run } from './holes.js';
import { isOnChain, lastSegmentBefore, timelineOfSegment, type TimelineSpan } from './timeline-chain.js';

export type JudgedBase = {
  header: BaseHeader;
  /** Full base first, this one last; empty when the chain is broken. */
  chain: BaseHeader[];
  /** Index of the run that recovery from it replays; -1 when it is not usable. */
  run: number;
  /** Why it is not usable, null when it is. */
  why: string | null;
};

export type BaseJudge = {
  systemIdentifier: string;
  spans: readonly TimelineSpan[];
  runs: readonly Run[];
  walSegmentBytes: number;
};

/** Judges every base, oldest first by the end of the backup. Of no base is it assumed that its WAL is there. */
export function judgeBases(headers: readonly BaseHeader[], judge: BaseJudge): JudgedBase[] {
  const byId = new Map(headers.map((header) => [header.id, header]));
  return headers
    .map((header) => judgeBase(header, byId, judge))
    .sort((a, b) => compareTimestamps(endedAt(a.header), endedAt(b.header)));
}

function judgeBase(header: BaseHeader, byId: ReadonlyMap<string, BaseHeader>, judge: BaseJudge): JudgedBase {
  const unusable = (why: string): JudgedBase => ({ header, chain: [], run: -1, why });
  const chain = chainOf(header, byId);
  if (typeof chain === 'string') return unusable(chain);
  for (const link of chain) {
    const problem = identityProblem(link, judge);
    if (problem !== null) return unusable(link === header ? problem : `its parent ${link.id}: ${problem}`);
  }
  const run = runHolding(judge.runs, header.startLsn, header.stopLsn, judge.walSegmentBytes);
  return run < 0 ? unusable(missingWal(header, judge)) : { header, chain, run, why: null };
}

/** The base and its ancestors, full one first; the reason when the chain does not reach a full base. */
function chainOf(header: BaseHeader, byId: ReadonlyMap<string, BaseHeader>): BaseHeader[] | string {
  const chain = [header];
  for (let base = header; base.kind === 'incremental';) {
    if (base.parentId === null) return `base ${base.id} is incremental and names no parent`;
    const parent = byId.get(base.parentId);
    if (parent === undefined) return `its parent ${base.parentId} is missing`;
    if (chain.includes(parent)) return `its parents form a circle at ${parent.id}`;
    chain.unshift(parent);
    base = parent;
  }
  return chain;
}

function identityProblem(header: BaseHeader, judge: BaseJudge): string | null {
  if (header.unusable !== undefined) return header.unusable;
  if (header.systemIdentifier !== judge.systemIdentifier) {
    return `it is of system ${header.systemIdentifier}, production is ${judge.systemIdentifier}`;
  }
  if (isOnChain(judge.spans, header.timeline, header.stopLsn)) return null;
  const current = judge.spans.at(-1)?.timeline ?? 0;
  return `it was taken on timeline ${header.timeline} at ${header.stopLsn}, which is not in the history of timeline ${current}`;
}

function missingWal(header: BaseHeader, judge: BaseJudge): string {
  const { spans, runs, walSegmentBytes } = judge;
  const archived = new Set(runs.flatMap((run) => run.map((segment) => segment.number)));
  const last = lastSegmentBefore(header.stopLsn, walSegmentBytes);
  for (let number = segmentNumberOf(header.startLsn, walSegmentBytes); number <= last; number += 1n) {
    if (archived.has(number)) continue;
    const name = segmentName(timelineOfSegment(spans, number, walSegmentBytes), number, walSegmentBytes);
    return `its wal segment ${name} is missing in the archive`;
  }
  return 'its wal is not complete in the archive';
}

/** End of the backup in the normal form of times. */
export function endedAt(header: BaseHeader): string {
  return normaliseTimestamp(header.endedAt) ?? header.endedAt;
}

/**
 * The newest usable base from which a stop before `firstDropped` can be reached: a base is consistent only at its stop LSN, and everything
 * before that point is in it for good. Null when every base ended too late.
 */
export function pickBase(bases: readonly JudgedBase[], run: number, firstDropped: Lsn | null): JudgedBase | null {
  const reaches = bases.filter(
    (base) =>
      base.why === null &&
      base.run === run &&
      (firstDropped === null || compareLsn(base.header.stopLsn, firstDropped) <= 0),
  );
  return reaches.reduce<JudgedBase | null>(
    (best, base) => (best === null || compareLsn(base.header.stopLsn, best.header.stopLsn) >= 0 ? base : best),
    null,
  );
}

/** A base as plans carry it. */
export function baseRef(header: BaseHeader): BaseRef {
  return {
    id: header.id,
    kind: header.kind,
    startedAt: normaliseTimestamp(header.startedAt) ?? header.startedAt,
    endedAt: endedAt(header),
    startLsn: header.startLsn,
    stopLsn: header.stopLsn,
    timeline: header.timeline,
    parentId: header.parentId,
    bytes: header.sizes.bytes,
    rawBytes: header.sizes.restoredBytes,
  };
}

/** A base as the window shows it. */
export function windowBase({ header, why }: JudgedBase): WindowBase {
  return { ...baseRef(header), usable: why === null, why };
}
