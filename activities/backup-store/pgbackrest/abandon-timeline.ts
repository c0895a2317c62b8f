/** After an undo: a note at the newest base that a timeline is not production's history. It goes when that base expires. Nothing is deleted. */
import { stepFailure } from '../../lib/failure.js';
import { ABANDONED_MARK, annotateArgs } from './commands.js';
import type { InfoBackup } from './info.js';
import type { Pgbackrest } from './run.js';
import { abandonedTimelines, readInfo, type Stanza } from './view.js';

/** Throws PreconditionFailed when there is no base to put the note at, EvidenceFailed when it is not there afterwards. */
export async function abandonTimeline(
  source: Stanza,
  program: Pgbackrest,
  timeline: number,
  run: string,
): Promise<'marked' | 'already-marked'> {
  const info = await readInfo(source);
  if (abandonedTimelines(info).includes(timeline)) return 'already-marked';
  const newest = info.backup.reduce<InfoBackup | null>(
    (best, one) => (best === null || one.timestamp.stop >= best.timestamp.stop ? one : best),
    null,
  );
  if (newest === null) {
    throw stepFailure('PreconditionFailed', `stanza ${source.stanza} has no base that could carry a note`, {
      hint: 'take a base with `pgbackrest backup`, then `pgr retry`',
    });
  }
  const name = ABANDONED_MARK + timeline.toString(16).toUpperCase().padStart(8, '0');
  await program.read(annotateArgs(newest.database['repo-key'], newest.label, name, run));
  if (abandonedTimelines(await readInfo(source)).includes(timeline)) return 'marked';
  throw stepFailure('EvidenceFailed', `base ${newest.label} does not carry the note ${name} after it was written`);
}
