/** Targets `xid:N` and `before-xid:N`: how one transaction ended, found without reading the whole archive. */
import type { TargetSpec } from '../../shared/target-time.js';
import { endedAt, type JudgedBase } from './base-chain.js';
import type { Run } from './holes.js';
import { aimAtPosition, behindRun, lastReachable, type Aim, type AimInput } from './resolve-target-aim.js';
import * as refuse from './resolve-target-refusals.js';
import type { Archive } from './timeline-archive.js';
import {
  compareXids,
  fromWalTime,
  positionOf,
  runningOf,
  subtransactionsOf,
  timeOf,
  xidOf,
  type WalRecord,
} from './waldump-record.js';
import type { WalReader } from './waldump-segments.js';
import { readHoles } from './window.js';

/** `ended`: it was over before this WAL begins. `unseen`: no COMMIT and no ABORT of it is here. */
export type XidFate =
  { fate: 'committed' | 'rolled-back'; record: WalRecord; topXid: string } | { fate: 'ended' | 'running' | 'unseen' };

/** What one look tells about a transaction besides its end. */
type Look = {
  end: XidFate | null;
  /** At the first and the last record that lists running transactions. */
  first: Progress | null;
  last: Progress | null;
};
type Progress = 'not-begun' | 'running' | 'over';

/** Segments per look. Servers list running transactions every 15 s while they write, so two segments usually have a list. */
const LOOK = 2;
/** A stretch of this length is read as a whole. */
const SHORT = 4;

/** Transaction ids in the WAL have 32 bits; pg_current_xact_id() and the like put the number of wrap-arounds in front. */
const XID_SPACE = 0x1_0000_0000n;

/**
 * `xid` keeps the transaction and everything that committed before it, `before-xid` drops it and everything after. The id of a
 * subtransaction (what xmin and xmax of a row show for a savepoint) means the transaction that it is part of.
 */
export async function aimAtXid(
  archive: Archive,
  usable: readonly JudgedBase[],
  input: AimInput,
  target: Extract<TargetSpec, { kind: 'xid' | 'before-xid' }>,
): Promise<Aim> {
  const xid = (BigInt(target.value) % XID_SPACE).toString();
  const runs = [...new Set(usable.map((base) => base.run))].sort((a, b) => b - a);
  const fates: XidFate['fate'][] = [];
  for (const index of runs) {
    const end = await findXid(archive.reader, archive.runs[index] ?? [], xid);
    if ('record' in end) return aimAtEnd(archive, input, { run: index, end, xid, isKept: target.kind === 'xid' });
    fates.push(end.fate);
    if (end.fate !== 'ended') break;
  }
  throw await refuseXid(archive, usable, input, { xid, fates, runs });
}

type FoundXid = { run: number; end: Extract<XidFate, { record: WalRecord }>; xid: string; isKept: boolean };

function aimAtEnd(archive: Archive, input: AimInput, { run, end, xid, isKept }: FoundXid): Aim {
  if (end.fate === 'rolled-back') throw refuse.rolledBack(input, xid, fromWalTime(timeOf(end.record)));
  const warning = `${xid} is a subtransaction of ${end.topXid}, which is meant`;
  const position = positionOf(end.record) + (isKept ? 1n : 0n);
  return aimAtPosition(archive, run, position, end.topXid === xid ? [] : [warning]);
}

/** Not in the newest stretch and over before it: it ended in a hole, or before the window. */
async function refuseXid(
  archive: Archive,
  usable: readonly JudgedBase[],
  input: AimInput,
  found: { xid: string; fates: XidFate['fate'][]; runs: readonly number[] },
): Promise<Error> {
  const { xid, fates, runs } = found;
  const [oldest] = usable;
  if (fates.length > 1 && fates.at(-1) !== 'ended') {
    const run = runs[fates.length - 1] ?? 0;
    return behindRun(archive, input, await readHoles(archive), run, await lastReachable(archive));
  }
  if (fates.at(-1) === 'ended' && oldest !== undefined) {
    return refuse.endedBeforeWindow(input, xid, endedAt(oldest.header));
  }
  return refuse.neverSeen(input, xid, fates.at(-1) === 'running');
}

/**
 * Looks for the end of transaction `xid` (32 bits) in `run`. The server writes down every few seconds which transactions run (RUNNING_XACTS):
 * that says on which side of a segment a transaction ended, so the stretch is halved until it is short. Without such lists the
 * whole rest is read: "never" is only said of WAL that was read or is proven not to hold it.
 */
export async function findXid(reader: WalReader, run: Run, xid: string): Promise<XidFate> {
  let low = 0;
  let high = run.length;
  while (high - low > SHORT) {
    const middle = Math.floor((low + high) / 2);
    const look = await lookFor(reader, run.slice(middle, middle + LOOK), xid);
    if (look.end !== null) return look.end;
    if (look.first === 'over') high = middle + 1;
    else if (look.last === 'not-begun') low = middle;
    else break;
  }
  const rest = await lookFor(reader, run.slice(low, high), xid);
  if (rest.end !== null) return rest.end;
  if (low === 0 && rest.first === 'over') return { fate: 'ended' };
  return { fate: rest.last === 'running' && high === run.length ? 'running' : 'unseen' };
}

async function lookFor(reader: WalReader, segments: Run, xid: string): Promise<Look> {
  const look: Look = { end: null, first: null, last: null };
  await reader.read(segments, ['Transaction', 'Standby'], (record) => {
    if (record.kind === 'running-xacts') {
      const progress = progressOf(record, xid);
      look.first ??= progress;
      look.last = progress ?? look.last;
      return progress === 'over' ? 'stop' : undefined;
    }
    look.end = endOfXid(record, xid);
    return look.end === null ? undefined : 'stop';
  });
  return look;
}

function progressOf(record: WalRecord, xid: string): Progress | null {
  const running = runningOf(record);
  if (running === null) return null;
  if (compareXids(running.next, xid) <= 0) return 'not-begun';
  return compareXids(running.oldest, xid) > 0 ? 'over' : 'running';
}

/** A subtransaction ends with its top-level one, or is rolled back alone before. */
function endOfXid(record: WalRecord, xid: string): XidFate | null {
  if (record.kind !== 'commit' && record.kind !== 'abort') return null;
  const topXid = xidOf(record);
  if (topXid !== xid && !(record.line.includes(xid) && subtransactionsOf(record).includes(xid))) return null;
  return { fate: record.kind === 'commit' ? 'committed' : 'rolled-back', record, topXid };
}
