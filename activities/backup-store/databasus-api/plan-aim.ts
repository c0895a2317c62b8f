/** Which base and which stretch of WAL a target needs, by the controller's lists alone. Pure. */
import { compareLsn, type Lsn } from '../../../shared/lsn.js';
import { segmentNumberOf } from '../../../shared/timeline.js';
import type { ResolveTargetInput } from '../../lib/backup-store.js';
import { endedAt, pickBase, type JudgedBase } from '../base-chain.js';
import type { Run } from '../holes.js';
import { aimAtTime } from '../resolve-target-aim.js';
import * as refuse from '../resolve-target-refusals.js';
import { chooseBase } from '../resolve-target.js';
import type { Archive } from '../timeline-archive.js';
import { lastReachableRun } from '../window.js';
import { afterReceived, inListedHole } from './plan-refusals.js';

/** The target lies in the first `last + 1` segments of `run`, as far as times of receiving tell. */
export type Aimed = { base: JudgedBase; run: Run; last: number; warnings: string[] };

/** Refuses what the lists show to be out of reach. */
export function aimByLists(archive: Archive, usable: readonly JudgedBase[], input: ResolveTargetInput): Aimed {
  const { target } = input;
  switch (target.kind) {
    case 'time':
      return aimTime(archive, usable, input, target.value);
    case 'lsn':
      return aimLsn(archive, usable, input, target.value);
    case 'xid':
    case 'before-xid':
    case 'name':
      return aimSomewhere(archive, usable, input);
    case 'immediate':
      return aimImmediate(archive, usable, input);
    case 'latest':
    default:
      return aimLatest(archive, usable, input);
  }
}

function aimLatest(archive: Archive, usable: readonly JudgedBase[], input: ResolveTargetInput): Aimed {
  const at = lastReachableRun(usable) ?? 0;
  return aimed(archive, input, { base: pickBase(usable, at, null) ?? undefined, at, last: null, warnings: [] });
}

function aimImmediate(archive: Archive, usable: readonly JudgedBase[], input: ResolveTargetInput): Aimed {
  const base = usable.at(-1);
  const at = base?.run ?? 0;
  const number = base === undefined ? 0n : segmentNumberOf(base.header.stopLsn, archive.walSegmentBytes);
  return aimed(archive, input, { base, at, last: indexOf(archive, at, number), warnings: [] });
}

/** Where a transaction or a name is, only the WAL says: the oldest base of the newest stretch reaches all of it. */
function aimSomewhere(archive: Archive, usable: readonly JudgedBase[], input: ResolveTargetInput): Aimed {
  const at = lastReachableRun(usable) ?? 0;
  const base = usable.find(({ run }) => run === at);
  const note =
    'the base is the oldest one behind which no wal is missing: where the target lies is not known before the fetch';
  return aimed(archive, input, { base, at, last: null, warnings: [note] });
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
