/**
 * WAL that a sandbox still needs to end its recovery as production: from its last restart point to the target, and every history file, so
 * that the new timeline gets an id that nobody used before.
 */
import { copyFile, link, readdir, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { historyName, isHistoryName, isSegmentName, parseSegmentName } from '../../../shared/timeline.js';
import type { BackupStore } from '../../lib/backup-store.js';
import { stepFailure } from '../../lib/failure.js';
import type { ControlData } from '../control-data.js';
import { codeOf, giveTo, namesIn, pathExists, type Owner } from '../data-directory.js';

/** Timelines above the highest known one that are looked for in the archive. */
const LOOK_AHEAD = 4;

/**
 * Puts what is missing into `<dataDir>/pg_wal`: segments of the spool from the redo segment on (linked; copied where that is not possible) and
 * history files of the spool and of the old primary. Each gets a `.done` mark: it comes from the archive. Returns the names brought in.
 */
export async function bringWal(
  dataDir: string,
  facts: Pick<ControlData, 'redoSegment' | 'walSegmentBytes'>,
  sources: readonly string[],
  owner: Owner,
): Promise<string[]> {
  const walDir = path.join(dataDir, 'pg_wal');
  const redo = parseSegmentName(facts.redoSegment, facts.walSegmentBytes);
  const isWanted = (name: string): boolean => {
    if (isHistoryName(name)) return true;
    const segment = parseSegmentName(name, facts.walSegmentBytes);
    return segment !== null && redo !== null && segment.number >= redo.number;
  };
  const brought: string[] = [];
  for (const [index, source] of sources.entries()) {
    const names = ((await namesIn(source)) ?? []).filter(isWanted);
    for (const name of names) {
      // Segments come from the first source (the spool) only: later ones are the old primary's, whose segments are another history.
      if (index > 0 && isSegmentName(name)) continue;
      if (await bringFile(path.join(source, name), path.join(walDir, name), owner)) brought.push(name);
    }
  }
  await markAsArchived(walDir, brought, owner);
  return brought;
}

async function bringFile(from: string, to: string, owner: Owner): Promise<boolean> {
  if (await pathExists(to)) return false;
  try {
    await link(from, to);
  } catch (error) {
    if (!['EXDEV', 'EPERM', 'EMLINK', 'ENOTSUP'].includes(codeOf(error))) throw error;
    await copyFile(from, to);
  }
  await giveTo(to, owner);
  return true;
}

async function markAsArchived(walDir: string, names: readonly string[], owner: Owner): Promise<void> {
  for (const name of names) {
    const mark = path.join(walDir, 'archive_status', `${name}.done`);
    await writeFile(mark, '', { mode: 0o600 });
    await giveTo(mark, owner);
  }
}

/** History files in these directories. */
export async function historiesIn(dirs: readonly string[]): Promise<Set<string>> {
  const names = await Promise.all(dirs.map(async (dir) => readdir(dir).catch(() => [])));
  return new Set(names.flat().filter(isHistoryName));
}

/**
 * Every timeline of the archive is known here. Otherwise PostgreSQL could choose an id that the archive has already, and the new history
 * would collide with it. Throws PreconditionFailed naming what is not known.
 */
export async function requireKnownTimelines(store: BackupStore, known: ReadonlySet<string>): Promise<void> {
  const highest = Math.max(1, ...[...known].map((name) => Number.parseInt(name.slice(0, 8), 16)));
  const wanted = Array.from({ length: highest - 1 + LOOK_AHEAD }, (_, index) => historyName(index + 2));
  const presence = await Promise.all(wanted.map(async (name) => [name, await store.walPresence(name)] as const));
  const unknown = presence.filter(([name, found]) => found === 'found' && !known.has(name)).map(([name]) => name);
  if (unknown.length === 0) return;
  throw stepFailure('PreconditionFailed', `the archive has ${unknown.join(', ')}, which this sandbox does not know`, {
    hint: 'production changed its history after the sandbox was made: restore again with `pgr pitr`',
  });
}
