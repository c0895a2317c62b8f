/**
 * What can be recovered, by the controller's lists: there is no call that says it, and its WAL cannot be read. So the upper end is the time at which
 * the newest segment was received (the last commit lies before it), and nothing is known of transactions.
 */
import type { WindowHole, WindowResult } from '../../../shared/contracts/plan.js';
import { endedAt, windowBase } from '../base-chain.js';
import { readArchive, type Archive, type ArchiveInput } from '../timeline-archive.js';
import { lastReachableRun } from '../window.js';
import type { Catalog } from './catalog.js';
import { contextOf } from './lists-view.js';

/** The window; an empty one only where the lists are empty. */
export async function windowOfLists(
  catalog: Catalog,
  input: ArchiveInput & { environment: string },
): Promise<WindowResult> {
  const archive = await readArchive(contextOf(catalog), input);
  const usable = archive.bases.filter((base) => base.why === null);
  const [oldest] = usable;
  const reach = lastReachableRun(archive.bases);
  const received = reach === null ? null : (archive.runs[reach]?.at(-1)?.file.archivedAt ?? null);
  const newestEnd = usable.map((base) => endedAt(base.header)).at(-1) ?? null;
  return {
    environment: input.environment,
    systemIdentifier: archive.systemIdentifier,
    timeline: archive.timeline,
    earliest: oldest === undefined ? null : endedAt(oldest.header),
    latest: received === null || (newestEnd !== null && received < newestEnd) ? newestEnd : received,
    lastCommit: null,
    lastCommitUnknown: true,
    bases: archive.bases.map((base) => {
      const listed = catalog.bases.find(({ id }) => id === base.header.id);
      return { ...windowBase(base), startLsn: listed?.startLsn ?? base.header.startLsn };
    }),
    // What lies before the first target is no hole in the window: the controller deletes the segment in which a full backup began.
    holes: holesOf(archive, oldest?.run ?? 0),
    warnings: [...archive.warnings, ...warningsOf(catalog, archive)],
  };
}

function holesOf(archive: Archive, first: number): WindowHole[] {
  const before = archive.gaps.length === archive.runs.length ? -1 : 0;
  return archive.gaps.flatMap((gap, index) => {
    const run = before + index;
    if (run < first) return [];
    const next = archive.bases.find((base) => base.why === null && base.run > run);
    const from = archive.runs[run]?.at(-1)?.file.archivedAt ?? '';
    const to = next === undefined ? from : endedAt(next.header);
    return { ...gap, from: from === '' ? to : from, to };
  });
}

function warningsOf({ database, failed, bases }: Catalog, archive: Archive): string[] {
  const broken = failed.filter(({ status }) => status === 'CHAIN_BROKEN').length;
  return [
    'the times are those at which the controller received the wal: the last commit lies before the end, and is found when it is fetched',
    ...(bases.length === 0 ? [`the controller has no complete backup of "${database.name}"`] : []),
    ...(archive.runs.length === 0 ? ['the controller has no wal of this timeline'] : []),
    ...(broken === 0 ? [] : [`${String(broken)} backups of "${database.name}" are marked CHAIN_BROKEN`]),
  ];
}
