/**
 * The part of a plan that the controller's lists can tell. Known now: the chain of bases, the stretch of WAL without a gap behind it, and by the
 * times at which segments were received in which of them the target lies. Not known before the fetch: the transactions on both sides of the
 * target, because the controller shows WAL only in the restore stream, behind the bases.
 */
import { lsnDistanceBytes, type Lsn } from '../../../shared/lsn.js';
import { secondsBetween } from '../../../shared/target-time.js';
import { segmentNumberOf, segmentStart } from '../../../shared/timeline.js';
import type { ResolvedTarget, ResolveTargetInput } from '../../lib/backup-store.js';
import * as refuse from '../resolve-target-refusals.js';
import { refuseForeignBases } from '../resolve-target.js';
import { readArchive, type Archive } from '../timeline-archive.js';
import { STOCK_SETTINGS } from './base-header.js';
import type { Catalog, ListedBase } from './catalog.js';
import { contextOf, estimatedRawBytes } from './lists-view.js';
import { aimByLists, type Aimed } from './plan-aim.js';

/** Where no recovery ever gets: a plan that was not completed after the fetch cannot stop anywhere by mistake. */
const NOWHERE = 'FFFFFFFF/FFFFFFFF' as Lsn;

/** Refuses as `resolveTarget` does, with what the lists tell; a target behind everything received is marked (activities/lib/beyond-archive.ts). */
export async function planTarget(catalog: Catalog, input: ResolveTargetInput): Promise<ResolvedTarget> {
  const archive = await readArchive(contextOf(catalog), input);
  refuseForeignBases(archive, input);
  const usable = archive.bases.filter((base) => base.why === null);
  if (usable.length === 0) throw refuse.noUsableBase(input, archive.bases.at(-1)?.why ?? null);
  const aimed = aimByLists(archive, usable, input);
  const chain = aimed.base.chain.flatMap((link) => catalog.bases.find(({ id }) => id === link.id) ?? []);
  const newest = aimed.run.at(-1)?.file.archivedAt ?? null;
  const { systemIdentifier, postgresMajor } = catalog.database;
  return {
    boundaryAfterFetch: true,
    timeline: archive.timeline ?? 1,
    stop: { kind: 'lsn', lsn: NOWHERE, inclusive: false },
    boundary: { kept: null, dropped: null },
    lost: { commits: 0, exact: false, seconds: secondsAfter(input, newest), until: newest },
    baseChain: chain.map(refOf),
    ...transferOf(archive, aimed, chain),
    systemIdentifier,
    postgresMajor,
    walSegmentBytes: archive.walSegmentBytes,
    minimumSettings: STOCK_SETTINGS,
    warnings: [
      ...archive.warnings,
      ...aimed.warnings,
      'the last transaction kept and the first one dropped are found in the wal when it was fetched, and shown before anything is promoted',
      'the controller does not say how large bases are once unpacked: space and time are estimated from their compressed sizes',
    ],
  };
}

/** The controller sends all WAL up to its newest segment; what lies behind the target is not unpacked. */
function transferOf(
  archive: Archive,
  { base, run, last }: Aimed,
  chain: readonly ListedBase[],
): Pick<ResolvedTarget, 'fetch' | 'replayBytes'> {
  const { stopLsn } = base.header;
  const begin = segmentNumberOf(stopLsn, archive.walSegmentBytes);
  const sent = run.filter(({ number }) => number >= begin);
  const needed = run.slice(0, last + 1).filter(({ number }) => number >= begin);
  const end = segmentStart((needed.at(-1)?.number ?? begin) + 1n, archive.walSegmentBytes);
  return {
    fetch: {
      baseBytes: sum(chain.map(({ bytes }) => bytes)),
      walBytes: sum(sent.map(({ file }) => file.bytes)),
      walSegments: needed.length,
      firstSegment: needed[0]?.name ?? '',
      lastSegment: needed.at(-1)?.name ?? '',
    },
    replayBytes: lsnDistanceBytes(chain.at(-1)?.startLsn ?? stopLsn, end),
  };
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
