/**
 * What can be recovered: from the end of the oldest usable base to the last archived COMMIT, minus the holes. Judged by what really lies in the
 * store, at the cost of its listings and a few segments. Changes nothing.
 */
import type { TransactionPoint, WindowHole, WindowResult } from '../../shared/contracts/plan.js';
import type { ResolveTargetInput } from '../lib/backup-store.js';
import { endedAt, windowBase, type JudgedBase } from './base-chain.js';
import type { Gap } from './holes.js';
import { findFirstCommit, findLastCommit } from './last-commit.js';
import { readArchive, type Archive, type StoreContext } from './timeline-archive.js';
import { fromWalTime, timeOf, transactionPoint } from './waldump-record.js';

export type WindowInput = Pick<ResolveTargetInput, 'environment' | 'scratchDir' | 'binDir' | 'live'>;

/** The window of an environment. A store that does not answer, or WAL that cannot be read, throws: it is never an empty window. */
export async function computeWindow(context: StoreContext, input: WindowInput): Promise<WindowResult> {
  const archive = await readArchive(context, input);
  const reach = lastReachableRun(archive.bases);
  const [last, holes] = await Promise.all([reach === null ? null : lastCommitUpTo(archive, reach), readHoles(archive)]);
  const oldest = archive.bases.find((base) => base.why === null);
  const earliest = oldest === undefined ? null : endedAt(oldest.header);
  return {
    environment: input.environment,
    systemIdentifier: archive.systemIdentifier,
    timeline: archive.timeline,
    earliest,
    latest: latestOf(earliest, last, archive.bases),
    lastCommit: last,
    bases: archive.bases.map(windowBase),
    holes,
    warnings: [...archive.warnings, ...windowWarnings(archive)],
  };
}

/** Index of the newest run that a usable base starts in; WAL behind a later hole cannot be replayed. */
export function lastReachableRun(bases: readonly JudgedBase[]): number | null {
  const runs = bases.filter((base) => base.why === null).map((base) => base.run);
  return runs.length === 0 ? null : Math.max(...runs);
}

async function lastCommitUpTo(archive: Archive, reach: number): Promise<TransactionPoint | null> {
  const found = await findLastCommit(archive.reader, archive.runs[reach] ?? []);
  return found === null ? null : transactionPoint(found, archive.walSegmentBytes);
}

/** A store that is quiet since its newest base reaches to the end of that base, although no COMMIT follows. */
function latestOf(earliest: string | null, last: TransactionPoint | null, bases: readonly JudgedBase[]): string | null {
  if (earliest === null) return null;
  const ends = bases.filter((base) => base.why === null).map((base) => endedAt(base.header));
  const newestEnd = ends.at(-1) ?? earliest;
  return last === null || last.time < newestEnd ? newestEnd : last.time;
}

/**
 * Holes with the times around them: `from` is the last commit before (or the end of the base behind which there is none), `to` the first T that can be reached again, which is the end of the next usable
 * base (without one, the first commit behind the hole, for orientation).
 */
export async function readHoles(archive: Archive): Promise<WindowHole[]> {
  const before = runIndexBefore(archive);
  return Promise.all(archive.gaps.map((gap, index) => readHole(archive, gap, before + index)));
}

/** With a gap before the first run, gap 0 lies before run 0; else behind it. */
function runIndexBefore({ runs, gaps }: Archive): number {
  return gaps.length === runs.length ? -1 : 0;
}

async function readHole(archive: Archive, gap: Gap, before: number): Promise<WindowHole> {
  const { runs, reader, bases } = archive;
  const next = bases.find((base) => base.why === null && base.run > before);
  const [last, first] = await Promise.all([
    findLastCommit(reader, runs[before] ?? []),
    next === undefined ? findFirstCommit(reader, runs[before + 1] ?? []) : null,
  ]);
  const to = next === undefined ? (first === null ? null : fromWalTime(timeOf(first))) : endedAt(next.header);
  const from = latest(
    last === null ? null : fromWalTime(timeOf(last)),
    ...bases.filter((base) => base.why === null && base.run === before).map((base) => endedAt(base.header)),
  );
  return { ...gap, from: from ?? to ?? '', to: to ?? from ?? '' };
}

function latest(...times: readonly (string | null)[]): string | null {
  return times.reduce((found, one) => (one !== null && (found === null || one > found) ? one : found), null);
}

function windowWarnings(archive: Archive): string[] {
  const { bases, systemIdentifier, runs } = archive;
  const warnings: string[] = [];
  if (bases.length === 0) warnings.push('the store holds no base');
  const foreign = bases.filter((base) => base.header.systemIdentifier !== systemIdentifier).length;
  if (foreign > 0) warnings.push(`${foreign} of ${bases.length} bases are of another system and are not used`);
  if (runs.length === 0) warnings.push('the archive holds no wal of this timeline');
  return warnings;
}
