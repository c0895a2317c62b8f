/**
 * Resolves a target to the boundary between the last transaction kept and the first one dropped, by reading the WAL, and to the base and the
 * segments that a recovery to it needs. Reads listings, headers and a few segments; changes nothing.
 */
import type { Boundary, StopPoint, TransactionPoint } from '../../shared/contracts/plan.js';
import { compareLsn, lsnDistanceBytes } from '../../shared/lsn.js';
import { largestSettings } from '../../shared/minimum-settings.js';
import { segmentStart } from '../../shared/timeline.js';
import type { ResolvedTarget, ResolveTargetInput } from '../lib/backup-store.js';
import { stepFailure } from '../lib/failure.js';
import { baseRef, endedAt, pickBase, type JudgedBase } from './base-chain.js';
import { findLastCommit } from './last-commit.js';
import { aimAtConsistency, aimAtLatest, aimAtTime, behindRun, type Aim } from './resolve-target-aim.js';
import { COUNTED_SEGMENTS, findBoundary, type FoundBoundary } from './resolve-target-boundary.js';
import { planFetch } from './resolve-target-fetch.js';
import { lostAfter } from './resolve-target-lost.js';
import { aimAtLsn } from './resolve-target-lsn.js';
import { aimAtName } from './resolve-target-name.js';
import * as refuse from './resolve-target-refusals.js';
import { aimAtXid } from './resolve-target-xid.js';
import { readArchive, type Archive, type StoreContext } from './timeline-archive.js';
import { transactionPoint, type WalRecord } from './waldump-record.js';
import { readHoles } from './window.js';

/**
 * The part of a plan that the store can tell. Refuses with TargetNotRecoverable, TargetInHole, IdentityMismatch, MajorMismatch; WAL that cannot be read is
 * WalCorrupt, a store that does not answer StoreUnavailable. A target behind the end of the archive is marked
 * (activities/lib/beyond-archive.ts).
 */
export async function resolveTarget(context: StoreContext, input: ResolveTargetInput): Promise<ResolvedTarget> {
  const archive = await readArchive(context, input);
  const usable = archive.bases.filter((base) => base.why === null);
  refuseForeignBases(archive, input);
  const [oldest] = usable;
  if (oldest === undefined) throw refuse.noUsableBase(input, archive.bases.at(-1)?.why ?? null);
  const aim = await aimAt(archive, usable, input);
  const run = archive.runs[aim.run] ?? [];
  // Far from the end, what is lost is told by the newest commit: it is read while the boundary is looked for.
  const isFar = aim.run < archive.runs.length - 1 || run.length - aim.guess > COUNTED_SEGMENTS;
  const [found, newest] = await Promise.all([
    findBoundary(archive.reader, run, aim.isDropped, aim.guess),
    isFar ? findLastCommit(archive.reader, archive.runs.at(-1) ?? []) : null,
  ]);
  await refuseUnreached(archive, input, aim, found);
  const boundary = { kept: pointOf(found.kept, archive), dropped: pointOf(found.dropped, archive) };
  const base = chooseBase(usable, input, aim.run, boundary.dropped);
  if (base === null) throw await beforeBases(archive, input, oldest, aim.run);
  const stop = stopFor(input, base, boundary);
  const { header } = base;
  return {
    stop,
    boundary,
    lost: lostAfter(input, boundary, pointOf(newest ?? found.last, archive), isFar ? null : found),
    baseChain: base.chain.map(baseRef),
    ...planFetch(archive, { run, base: header, boundary, stop }),
    systemIdentifier: header.systemIdentifier,
    postgresMajor: header.postgresMajor,
    walSegmentBytes: archive.walSegmentBytes,
    minimumSettings: largestSettings(header.settings, ...base.chain.map((link) => link.settings)),
    warnings: [...archive.warnings, ...aim.warnings, ...warningsOf(archive, input, found)],
  };
}

/** Where to look for the boundary, by the kind of the target. */
async function aimAt(archive: Archive, usable: readonly JudgedBase[], input: ResolveTargetInput): Promise<Aim> {
  const { target } = input;
  const newest = usable.at(-1);
  switch (target.kind) {
    case 'time':
      return aimAtTime(archive, usable, input, target.value);
    case 'immediate':
      return newest === undefined ? aimAtLatest(archive) : aimAtConsistency(archive, newest);
    case 'lsn':
      return aimAtLsn(archive, input, target.value);
    case 'name':
      return aimAtName(archive, usable, input, target.value);
    case 'xid':
    case 'before-xid':
      return aimAtXid(archive, usable, input, target);
    case 'latest':
    default:
      return aimAtLatest(archive);
  }
}

/** A live primary whose bases are not in this store: the config names the wrong store, or the wrong nodes. */
export function refuseForeignBases(archive: Archive, { live }: ResolveTargetInput): void {
  const [any] = archive.bases;
  if (live === null || any === undefined) return;
  if (archive.bases.some((base) => base.header.systemIdentifier === live.systemIdentifier)) return;
  throw stepFailure(
    'IdentityMismatch',
    `the live primary is system ${live.systemIdentifier}, the bases in the store are of system ${any.header.systemIdentifier}`,
    { hint: 'nothing was touched; correct the store or the nodes of this environment in the config' },
  );
}

/** A time behind the last commit of its stretch: nobody knows what was committed until then. */
async function refuseUnreached(
  archive: Archive,
  input: ResolveTargetInput,
  aim: Aim,
  found: FoundBoundary,
): Promise<void> {
  const { target } = input;
  if (target.kind !== 'time' || found.dropped !== null) return;
  const last = pointOf(found.last, archive);
  const knownUntil = archive.bases.findLast((base) => base.why === null && base.run === aim.run);
  const isKnown = last !== null && target.value <= last.time;
  if (isKnown || (knownUntil !== undefined && target.value <= endedAt(knownUntil.header))) return;
  throw behindRun(archive, input, await readHoles(archive), aim.run, last);
}

/** No base of the stretch ended early enough: the target lies before all bases, or behind a hole and before the next base. */
async function beforeBases(
  archive: Archive,
  input: ResolveTargetInput,
  oldest: JudgedBase,
  run: number,
): Promise<Error> {
  if (oldest.run >= run) return refuse.beforeWindow(input, endedAt(oldest.header));
  return behindRun(archive, input, await readHoles(archive), run - 1, null);
}

/** For a time only bases that had ended by then, although a later one without a commit in between would hold the same. */
export function chooseBase(
  usable: readonly JudgedBase[],
  { target }: ResolveTargetInput,
  run: number,
  dropped: TransactionPoint | null,
): JudgedBase | null {
  const candidates = target.kind === 'time' ? usable.filter((base) => endedAt(base.header) <= target.value) : usable;
  return pickBase(candidates, run, dropped?.lsn ?? null);
}

/**
 * Stop after the last kept COMMIT. A base is not consistent before its stop LSN, so when that commit is part of the base already, stop before
 * the first dropped one instead, and without one where the base is consistent.
 */
function stopFor({ target }: ResolveTargetInput, base: JudgedBase, { kept, dropped }: Boundary): StopPoint {
  if (target.kind === 'immediate') return { kind: 'immediate' };
  if (kept !== null && compareLsn(kept.lsn, base.header.stopLsn) >= 0) {
    return { kind: 'lsn', lsn: kept.lsn, inclusive: true };
  }
  return dropped === null ? { kind: 'immediate' } : { kind: 'lsn', lsn: dropped.lsn, inclusive: false };
}

function pointOf(record: WalRecord | null, archive: Archive): TransactionPoint | null {
  return record === null ? null : transactionPoint(record, archive.walSegmentBytes);
}

function warningsOf(archive: Archive, { target, live }: ResolveTargetInput, found: FoundBoundary): string[] {
  const warnings: string[] = [];
  if (found.outOfOrder) {
    warnings.push('commit times near the target are not in order: the order of the wal decides, see the boundary');
  }
  if (target.kind === 'time' && found.sameInstant > 1 && found.kept !== null) {
    warnings.push(
      `${found.sameInstant} transactions committed in the microsecond of the last one kept; all of them are kept`,
    );
  }
  const newest = archive.runs.at(-1)?.at(-1);
  if (live !== null && newest !== undefined) {
    const end = newest.endLsn ?? segmentStart(newest.number + 1n, archive.walSegmentBytes);
    const bytes = lsnDistanceBytes(end, live.currentLsn);
    const much = found.dropped === null ? 0 : archive.walSegmentBytes;
    if (bytes > much)
      warnings.push(`the primary has ${bytes} bytes of wal that are not archived yet; they are not counted here`);
  }
  return warnings;
}
