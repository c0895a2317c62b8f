/**
 * The part of a plan that the controller's lists can tell. Known now: the chain of bases, the stretch of WAL without a gap behind it, and by the
 * times at which segments were received in which of them the target lies. Not known before the fetch: the transactions on both sides of the
 * target, because the controller shows WAL only in the restore stream, behind the bases.
 */
import { compareLsn, lsnDistanceBytes, type Lsn } from '../../../shared/lsn.js';
import { segmentNumberOf, segmentStart } from '../../../shared/timeline.js';
import { secondsBetween } from '../../../shared/target-time.js';
import type { ResolvedTarget, ResolveTargetInput } from '../../lib/backup-store.js';
import { endedAt, pickBase, type JudgedBase } from '../base-chain.js';
import type { Run } from '../holes.js';
import { aimAtTime } from '../resolve-target-aim.js';
import * as refuse from '../resolve-target-refusals.js';
import { chooseBase, refuseForeignBases } from '../resolve-target.js';
import { readArchive, type Archive } from '../timeline-archive.js';
import { lastReachableRun } from '../window.js';
import type { Catalog, ListedBase } from './catalog.js';
import { contextOf, estimatedRawBytes } from './lists-view.js';
import { afterReceived, inListedHole } from './plan-refusals.js';

/** Where no recovery ever gets: a plan that was not completed after the fetch cannot stop anywhere by mistake. */
const NOWHERE = 'FFFFFFFF/FFFFFFFF' as Lsn;

const STOCK_SETTINGS: ResolvedTarget['minimumSettings'] = {
  maxConnections: 100,
  maxWorkerProcesses: 8,
  maxWalSenders: 10,
  maxPreparedTransactions: 0,
  maxLocksPerTransaction: 64,
};

type Aimed = { base: JudgedBase; run: Run; last: number; warnings: string[] };

/** Refuses as `resolveTarget` does, with what the lists tell; a target behind everything received is marked (activities/lib/beyond-archive.ts). */
export async function planTarget(catalog: Catalog, input: ResolveTargetInput): Promise<ResolvedTarget> {
  const archive = await readArchive(contextOf(catalog), input);
  refuseForeignBases(archive, input);
  const usable = archive.bases.filter((base) => base.why === null);
  if (usable.length === 0) throw refuse.noUsableBase(input, archive.bases.at(-1)?.why ?? null);
  const { base, run, last, warnings } = aim(archive, usable, input);
  const chain = base.chain.flatMap((link) => catalog.bases.find(({ id }) => id === link.id) ?? []);
  const first = Number(segmentNumberOf(base.header.stopLsn, archive.walSegmentBytes) - (run[0]?.number ?? 0n));
  const needed = run.slice(Math.max(0, first), last + 1);
  const end = segmentStart((needed.at(-1)?.number ?? 0n) + 1n, archive.walSegmentBytes);
  const newest = run.at(-1)?.file.archivedAt ?? null;
  return {
    boundaryAfterFetch: true,
    timeline: archive.timeline ?? 1,
    stop: { kind: 'lsn', lsn: NOWHERE, inclusive: false },
    boundary: { kept: null, dropped: null },
    lost: { commits: 0, exact: false, seconds: secondsAfter(input, newest), until: newest },
    baseChain: chain.map(refOf),
    fetch: {
      baseBytes: sum(chain.map(({ bytes }) => bytes)),
      // The controller sends everything up to its newest segment; what lies behind the target is not unpacked.
      walBytes: sum(run.slice(Math.max(0, first)).map(({ file }) => file.bytes)),
      walSegments: needed.length,
      firstSegment: needed[0]?.name ?? '',
      lastSegment: needed.at(-1)?.name ?? '',
    },
    replayBytes: lsnDistanceBytes(chain.at(-1)?.startLsn ?? base.header.stopLsn, end),
    systemIdentifier: catalog.database.systemIdentifier,
    postgresMajor: catalog.database.postgresMajor,
    walSegmentBytes: archive.walSegmentBytes,
    minimumSettings: STOCK_SETTINGS,
    warnings: [
      ...archive.warnings,
      ...warnings,
      'the last transaction kept and the first one dropped are found in the wal when it was fetched, and shown before anything is promoted',
      'the controller does not say how large bases are once unpacked: space and time are estimated from their compressed sizes',
    ],
  };
}

function aim(archive: Archive, usable: readonly JudgedBase[], input: ResolveTargetInput): Aimed {
  const { target } = input;
  switch (target.kind) {
    case 'time':
      return aimTime(archive, usable, input, target.value);
    case 'lsn':
      return aimLsn(archive, usable, input, target.value);
    case 'xid':
    case 'before-xid':
    case 'name': {
      // Where the transaction is, only the WAL says: the oldest base of the newest stretch reaches all of it.
      const at = lastReachableRun(usable) ?? 0;
      const base = usable.find(({ run }) => run === at);
      const note =
        'the base is the oldest one behind which no wal is missing: where the target lies is not known before the fetch';
      return aimed(archive, input, { base, at, last: null, warnings: [note] });
    }
    case 'immediate': {
      const base = usable.at(-1);
      const number = base === undefined ? 0n : segmentNumberOf(base.header.stopLsn, archive.walSegmentBytes);
      const at = base?.run ?? 0;
      return aimed(archive, input, { base, at, last: indexOf(archive, at, number), warnings: [] });
    }
    case 'latest':
    default: {
      const at = lastReachableRun(usable) ?? 0;
      const base = pickBase(usable, at, null) ?? undefined;
      return aimed(archive, input, { base, at, last: null, warnings: [] });
    }
  }
}

/**
 * A segment is complete before it is received, so a commit at or before T lies in the first one received after T, in those before it, or (when
 * the receiver lagged) in later ones. Without any, T lies in the segment that is still open.
 */
function aimTime(archive: Archive, usable: readonly JudgedBase[], input: ResolveTargetInput, value: string): Aimed {
  const { run: at, guess } = aimAtTime(archive, usable, input, value);
  const run = archive.runs[at] ?? [];
  const isReceivedAfter = (run[guess]?.file.archivedAt ?? '') >= value;
  const base = chooseBase(usable, input, at, null) ?? undefined;
  if (!isReceivedAfter) {
    if (at < archive.runs.length - 1) throw inListedHole(archive, input, at);
    throw afterReceived(input, run.at(-1));
  }
  const isNewest = at === archive.runs.length - 1 && guess === run.length - 1;
  const note =
    'the target lies in the newest wal that the controller has: a commit shortly before the target may be in wal that it has not received';
  return aimed(archive, input, { base, at, last: guess, warnings: isNewest ? [note] : [] });
}

function aimLsn(archive: Archive, usable: readonly JudgedBase[], input: ResolveTargetInput, lsn: Lsn): Aimed {
  const number = segmentNumberOf(lsn, archive.walSegmentBytes);
  const at = archive.runs.findIndex((run) => run.some((segment) => segment.number === number));
  const [oldest] = usable;
  if (oldest !== undefined && compareLsn(lsn, oldest.header.stopLsn) < 0) {
    throw refuse.beforeWindow(input, endedAt(oldest.header));
  }
  if (at >= 0) {
    const base = pickBase(usable, at, lsn);
    if (base === null) throw inListedHole(archive, input, at - 1);
    return aimed(archive, input, { base, at, last: indexOf(archive, at, number), warnings: [] });
  }
  const before = archive.runs.findLastIndex((run) => (run[0]?.number ?? 0n) < number);
  if (before >= 0 && before < archive.runs.length - 1) throw inListedHole(archive, input, before);
  throw afterReceived(input, archive.runs.at(-1)?.at(-1));
}

type Found = { base: JudgedBase | undefined; at: number; last: number | null; warnings: string[] };

function aimed(archive: Archive, input: ResolveTargetInput, { base, at, last, warnings }: Found): Aimed {
  if (base === undefined) throw inListedHole(archive, input, at - 1);
  const run = archive.runs[at] ?? [];
  return { base, run, last: last ?? run.length - 1, warnings };
}

function indexOf(archive: Archive, run: number, number: bigint): number {
  return Number(number - (archive.runs[run]?.[0]?.number ?? 0n));
}

function secondsAfter({ target }: ResolveTargetInput, newest: string | null): number {
  return target.kind === 'time' && newest !== null ? Math.max(0, secondsBetween(target.value, newest)) : 0;
}

function refOf(base: ListedBase): ResolvedTarget['baseChain'][number] {
  return { ...base, rawBytes: estimatedRawBytes(base.bytes) };
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, one) => total + one, 0);
}
