/**
 * Timelines that are not production's history any more, as small files in Barman's directory of the server: Barman has no word for them, leaves the files
 * alone, and a mirror of its home takes them along.
 */
import path from 'node:path';

import { stepFailure } from '../../lib/failure.js';
import { historyName } from '../../../shared/timeline.js';
import type { BarmanPlaces } from './places.js';

const FOLDER = 'pgr-abandoned';

/** Marks a timeline; nothing is deleted. */
export async function abandonTimeline(
  places: BarmanPlaces,
  timeline: number,
  run: string,
): Promise<'marked' | 'already-marked'> {
  const name = `${historyName(timeline).slice(0, 8)}.json`;
  if ((await listAbandoned(places)).includes(name)) return 'already-marked';
  const folder = path.posix.join((await places.directories()).backup_directory, FOLDER);
  const file = path.posix.join(folder, name);
  await places.barman.runThere(['mkdir', '-p', '--', folder]);
  await places.barman.runThere(['tee', '--', file], `${JSON.stringify({ api: 1, timeline, run })}\n`);
  if ((await listAbandoned(places)).includes(name)) return 'marked';
  throw stepFailure('NotAllowed', `cannot write ${file}`, {
    hint: 'let the user of the worker write there, then `pgr retry`',
  });
}

/** Names of the marks: `<timeline>.json`. */
export async function listAbandoned({ files, directories }: BarmanPlaces): Promise<string[]> {
  const folder = path.posix.join((await directories()).backup_directory, FOLDER);
  return (await files.list(folder, '')).map(({ name }) => name);
}
