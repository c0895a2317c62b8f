/** Target `name:N`: a restore point. */
import type { JudgedBase } from './base-chain.js';
import { aimAtPosition, type Aim, type AimInput } from './resolve-target-aim.js';
import * as refuse from './resolve-target-refusals.js';
import type { Archive } from './timeline-archive.js';
import { lsnOf, positionOf, restorePointOf, type WalRecord } from './waldump-record.js';

/** Restore points have no index: segments are read from the newest on, so many at once, until the name is found. */
const LOOK = 16;
/** Other names that a refusal tells. */
const TOLD_NAMES = 10;

/**
 * Keeps every COMMIT before the newest restore point of that name. (PostgreSQL would stop at the first one that it meets after the base; a
 * name that is used for every release means the last release.)
 */
export async function aimAtName(
  archive: Archive,
  usable: readonly JudgedBase[],
  input: AimInput,
  name: string,
): Promise<Aim> {
  const others = new Set<string>();
  const runs = [...new Set(usable.map((base) => base.run))].sort((a, b) => b - a);
  for (const index of runs) {
    const run = archive.runs[index] ?? [];
    for (let end = run.length; end > 0; end -= LOOK) {
      const points = await restorePoints(archive, run.slice(Math.max(0, end - LOOK), end + 1));
      const named = points.filter((record) => restorePointOf(record) === name);
      const newest = named.at(-1);
      if (newest !== undefined) return aimAtPosition(archive, index, positionOf(newest), warningsOf(name, named));
      for (const record of points) others.add(restorePointOf(record));
    }
  }
  throw refuse.unknownName(input, name, [...others].slice(0, TOLD_NAMES));
}

async function restorePoints(archive: Archive, segments: Archive['runs'][number]): Promise<WalRecord[]> {
  const points: WalRecord[] = [];
  await archive.reader.read(segments, ['XLOG'], (record) => {
    if (record.kind === 'restore-point') points.push(record);
    return undefined;
  });
  return points;
}

function warningsOf(name: string, named: readonly WalRecord[]): string[] {
  if (named.length < 2) return [];
  return [
    `there are ${named.length} restore points "${name}" at ${named.map(lsnOf).join(', ')}: the last one is meant`,
  ];
}
